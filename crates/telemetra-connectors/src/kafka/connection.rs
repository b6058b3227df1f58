//! One connection to one broker: requests out, responses in, in order.
//!
//! Synchronous, with a limit on every wait and on the size of every response. Versions are negotiated once; a request
//! says which of its versions we understand. Framing as in Kafka's documentation, "Protocol Guide": a length of four
//! bytes, a header with a correlation id, the body.

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::{
    error::ResponseError,
    messages::{
        ApiKey, ApiVersionsRequest, ApiVersionsResponse, FetchRequest, FetchResponse, ListOffsetsRequest,
        ListOffsetsResponse, MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader,
    },
    protocol::{
        Decodable, Encodable, HeaderVersion, Message, StrBytes, VersionRange,
        encode_request_header_into_buffer,
    },
};

use super::fault::Fault;

/// What brokers show as the client's name.
const CLIENT_ID: &str = "telemetra";
/// Longest wait for a connection to one address.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for a response, from the request to its last byte.
const RESPONSE_LIMIT: Duration = Duration::from_secs(40);
/// Largest response: more than any batch that a topic's `max.message.bytes` sensibly allows.
const RESPONSE_BYTES_MAX: usize = 128 << 20;
/// Bytes of a length.
const LENGTH: usize = 4;

/// A request and what answers it. The library has such a trait for those alone who have its code for brokers too.
pub(super) trait Request: Message + Encodable {
    const KEY: ApiKey;
    type Response: Decodable + HeaderVersion;
}

macro_rules! requests {
    ($($key:ident: $request:ident => $response:ident,)*) => {
        $(impl Request for $request {
            const KEY: ApiKey = ApiKey::$key;
            type Response = $response;
        })*
    };
}

requests! {
    ApiVersions: ApiVersionsRequest => ApiVersionsResponse,
    Fetch: FetchRequest => FetchResponse,
    ListOffsets: ListOffsetsRequest => ListOffsetsResponse,
    Metadata: MetadataRequest => MetadataResponse,
}

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// Name or number, without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A connection on which one request at a time is under way.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    place: String,
    versions: Vec<(i16, VersionRange)>,
    next_id: i32,
    out: BytesMut,
    /// Not before this, as the broker asked by throttling.
    rest_until: Option<Instant>,
}

/// A request that was sent and is not yet answered.
#[derive(Debug)]
#[must_use = "the response must be read, or the connection dropped"]
pub(super) struct Sent {
    id: i32,
    until: Instant,
}

impl Connection {
    /// Connects and asks for the versions that the broker has.
    ///
    /// # Errors
    /// `Away` if nobody answers in time; `Halt` for a broker that is too old.
    pub(super) fn open(address: &Address) -> Result<Self, Fault> {
        let place = address.to_string();
        let stream = connect(address, &place)?;
        stream.set_nodelay(true).map_err(|error| Fault::away(&place, error))?;
        let mut connection =
            Self { stream, place, versions: Vec::new(), next_id: 0, out: BytesMut::new(), rest_until: None };
        connection.versions = connection.ask_versions()?;
        Ok(connection)
    }

    /// The broker, `host:port`.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Asks and waits for the answer; `versions` are those of the request that we understand.
    ///
    /// # Errors
    /// `Away` when the connection breaks or nothing comes in time; `Halt` for a broker without such a version.
    pub(super) fn call<R: Request>(
        &mut self,
        request: &R,
        versions: VersionRange,
    ) -> Result<R::Response, Fault> {
        let version = self.version::<R>(versions)?;
        let sent = self.send(request, version)?;
        let mut frame = Vec::new();
        self.receive(&sent, &mut frame)?;
        let mut body = Bytes::from(frame);
        let malformed = |error| Fault::away(&self.place, format!("a response that cannot be read: {error}"));
        ResponseHeader::decode(&mut body, R::Response::header_version(version)).map_err(malformed)?;
        R::Response::decode(&mut body, version).map_err(malformed)
    }

    /// The newest version of a request that both sides have within `versions`.
    ///
    /// # Errors
    /// `Halt` if there is none.
    pub(super) fn version<R: Request>(&self, versions: VersionRange) -> Result<i16, Fault> {
        let ours = R::VERSIONS.intersect(&versions);
        let theirs = self.versions.iter().find(|(key, _)| *key == R::KEY as i16).map(|(_, range)| *range);
        let both = theirs.map(|theirs| theirs.intersect(&ours)).filter(|both| !both.is_empty());
        both.map(|both| both.max).ok_or_else(|| {
            let name = R::KEY;
            let theirs = theirs.map_or_else(|| "none".to_owned(), |theirs| theirs.to_string());
            Fault::Halt(format!(
                "{}: the broker has versions {theirs} of {name:?}, telemetra needs one of {ours}: Kafka 3.1 or newer",
                self.place
            ))
        })
    }

    /// Sends a request. Its response must be received before the next one is sent.
    ///
    /// # Errors
    /// `Away` when the connection breaks.
    pub(super) fn send<R: Request>(&mut self, request: &R, version: i16) -> Result<Sent, Fault> {
        self.rest();
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY as i16)
            .with_request_api_version(version)
            .with_correlation_id(id)
            .with_client_id(Some(StrBytes::from_static_str(CLIENT_ID)));
        self.out.clear();
        self.out.put_i32(0);
        let encoded = encode_request_header_into_buffer(&mut self.out, &header)
            .and_then(|()| request.encode(&mut self.out, version));
        encoded.map_err(|error| {
            Fault::Halt(format!("a request to {} cannot be written: {error}", self.place))
        })?;
        let length = i32::try_from(self.out.len() - LENGTH)
            .map_err(|_| Fault::Halt(format!("a request to {} is too long", self.place)))?;
        self.out[..LENGTH].copy_from_slice(&length.to_be_bytes());
        let until = Instant::now() + RESPONSE_LIMIT;
        let away = |error| Fault::away(&self.place, error);
        self.stream.set_write_timeout(Some(RESPONSE_LIMIT)).map_err(away)?;
        self.stream.write_all(&self.out).map_err(away)?;
        Ok(Sent { id, until })
    }

    /// Waits for the response to `sent`: header and body, into `frame`, whose old contents are overwritten.
    ///
    /// # Errors
    /// `Away` when the connection breaks, nothing comes in time, or it is not this request's response: the connection
    /// is of no more use.
    pub(super) fn receive(&mut self, sent: &Sent, frame: &mut Vec<u8>) -> Result<(), Fault> {
        let mut length = [0; LENGTH];
        self.fill(&mut length, sent.until)?;
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
        if !(LENGTH..=RESPONSE_BYTES_MAX).contains(&length) {
            return Err(Fault::away(
                &self.place,
                format!("a response of {length} bytes: is this a Kafka broker?"),
            ));
        }
        frame.resize(length, 0);
        self.fill(frame, sent.until)?;
        let id = (&frame[..]).get_i32();
        if id != sent.id {
            return Err(Fault::away(&self.place, format!("response {id} to request {}", sent.id)));
        }
        Ok(())
    }

    /// Heeds that the broker wants nothing for a while.
    pub(super) fn throttle(&mut self, ms: i32) {
        if let Ok(ms @ 1..) = u64::try_from(ms) {
            self.rest_until = Some(Instant::now() + Duration::from_millis(ms).min(RESPONSE_LIMIT));
        }
    }

    fn rest(&mut self) {
        if let Some(until) = self.rest_until.take() {
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
        }
    }

    fn fill(&mut self, buffer: &mut [u8], until: Instant) -> Result<(), Fault> {
        let mut filled = 0;
        while filled < buffer.len() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Fault::away(&self.place, format!("no answer within {RESPONSE_LIMIT:?}")));
            }
            let away = |error| Fault::away(&self.place, error);
            self.stream.set_read_timeout(Some(left)).map_err(away)?;
            match self.stream.read(&mut buffer[filled..]) {
                Ok(0) => return Err(Fault::away(&self.place, "the broker closed the connection")),
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(away(error)),
            }
        }
        Ok(())
    }

    fn ask_versions(&mut self) -> Result<Vec<(i16, VersionRange)>, Fault> {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(CLIENT_ID))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let sent = self.send(&request, 3)?;
        let mut frame = Vec::new();
        self.receive(&sent, &mut frame)?;
        let mut body = Bytes::from(frame);
        let malformed =
            |error| Fault::away(&self.place, format!("no Kafka broker answers like this: {error}"));
        ResponseHeader::decode(&mut body, ApiVersionsResponse::header_version(3)).map_err(malformed)?;
        // To a version that it lacks a broker answers in version 0, whose code stands first as well.
        let code = body.clone().try_get_i16().unwrap_or(-1);
        if ResponseError::try_from_code(code) == Some(ResponseError::UnsupportedVersion) {
            let text =
                format!("{}: the broker is older than Kafka 2.4; telemetra needs 3.1 or newer", self.place);
            return Err(Fault::Halt(text));
        }
        let response = ApiVersionsResponse::decode(&mut body, 3).map_err(malformed)?;
        if let Some(code) = ResponseError::try_from_code(response.error_code) {
            return Err(Fault::Refused { place: self.place.clone(), what: "ApiVersions".into(), code });
        }
        let range = |it: &kafka_protocol::messages::api_versions_response::ApiVersion| {
            (it.api_key, VersionRange { min: it.min_version, max: it.max_version })
        };
        Ok(response.api_keys.iter().map(range).collect())
    }
}

fn connect(address: &Address, place: &str) -> Result<TcpStream, Fault> {
    let away = |error| Fault::away(place, error);
    let mut cause = None;
    for socket in (&*address.host, address.port).to_socket_addrs().map_err(away)? {
        match TcpStream::connect_timeout(&socket, CONNECT_LIMIT) {
            Ok(stream) => return Ok(stream),
            Err(error) => cause = Some(error),
        }
    }
    Err(Fault::away(
        place,
        cause.map_or_else(|| "the name has no address".to_owned(), |error| error.to_string()),
    ))
}
