//! One connection to one broker: requests out, responses in, in order.
//!
//! Synchronous, with a limit on every wait and on the size of every response. Versions are negotiated once; a request
//! says which of its versions we understand. Framing as in Kafka's documentation, "Protocol Guide": a length of four
//! bytes, a header with a correlation id, the body.

use std::{
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    sync::mpsc::{RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::{
    error::ResponseError,
    messages::{
        ApiKey, ApiVersionsRequest, ApiVersionsResponse, CreateTopicsRequest, CreateTopicsResponse,
        FetchRequest, FetchResponse, FindCoordinatorRequest, FindCoordinatorResponse, InitProducerIdRequest,
        InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse,
        OffsetCommitRequest, OffsetCommitResponse, ProduceRequest, ProduceResponse, RequestHeader,
        ResponseHeader, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
        SaslHandshakeResponse,
    },
    protocol::{
        Decodable, Encodable, HeaderVersion, Message, StrBytes, VersionRange,
        encode_request_header_into_buffer,
    },
};
use zeroize::Zeroize;

use super::{
    fault::Fault,
    leave::{Leave, Wait},
    security::{self, Link, Security, Tls},
};

/// What brokers show as the client's name.
const CLIENT_ID: &str = "telemetra";
/// Longest wait for a connection to one address.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for a name's addresses and a connection to any of them.
const DIAL_LIMIT: Duration = Duration::from_secs(60);
/// Longest wait for a response, from when it is waited for to its last byte; and for a request to be taken.
const RESPONSE_LIMIT: Duration = Duration::from_secs(15);
/// Largest response: more than any batch that a topic's `max.message.bytes` sensibly allows.
const RESPONSE_BYTES_MAX: usize = 128 << 20;
/// Share of a login's lifetime during which its connection is used.
const LIFETIME_USED: f64 = 0.8;
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
    CreateTopics: CreateTopicsRequest => CreateTopicsResponse,
    Fetch: FetchRequest => FetchResponse,
    FindCoordinator: FindCoordinatorRequest => FindCoordinatorResponse,
    InitProducerId: InitProducerIdRequest => InitProducerIdResponse,
    ListOffsets: ListOffsetsRequest => ListOffsetsResponse,
    Metadata: MetadataRequest => MetadataResponse,
    OffsetCommit: OffsetCommitRequest => OffsetCommitResponse,
    Produce: ProduceRequest => ProduceResponse,
    SaslAuthenticate: SaslAuthenticateRequest => SaslAuthenticateResponse,
    SaslHandshake: SaslHandshakeRequest => SaslHandshakeResponse,
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
    link: Link,
    address: Address,
    place: String,
    tls: Option<Tls>,
    /// Whether it answered anything but which versions it has: one that wants a login does not.
    is_let_in: bool,
    /// The broker closes the connection some time after this, unless we log in again.
    good_until: Option<Instant>,
    versions: Vec<(i16, VersionRange)>,
    next_id: i32,
    out: BytesMut,
    /// Not before this, as the broker asked by throttling.
    rest_until: Option<Instant>,
    leave: Leave,
}

/// A request that was sent and is not yet answered.
#[derive(Debug)]
#[must_use = "the response must be read, or the connection dropped"]
pub(super) struct Sent {
    id: i32,
}

impl Connection {
    /// Connects as `security` says, and asks for the versions that the broker has.
    ///
    /// # Errors
    /// `Away` if nobody answers in time; `Halt` for a broker that is too old, that cannot prove who it is, or does not
    /// believe who we are.
    pub(super) fn open(address: &Address, security: &Security, leave: &Leave) -> Result<Self, Fault> {
        let place = address.to_string();
        let socket = connect(address, &place, leave)?;
        socket.set_nodelay(true).map_err(|error| Fault::away(&place, error))?;
        let mut connection = Self {
            link: Link::over(socket, security.tls.as_ref(), address, leave.wait(CONNECT_LIMIT))?,
            address: address.clone(),
            place,
            tls: security.tls.clone(),
            is_let_in: false,
            good_until: None,
            versions: Vec::new(),
            next_id: 0,
            out: BytesMut::new(),
            rest_until: None,
            leave: leave.clone(),
        };
        connection.versions = connection.ask_versions()?;
        if let Some(login) = &security.login {
            let begun_at = Instant::now();
            let lifetime = security::log_in(&mut connection, login)?;
            connection.good_until = lifetime.map(|lifetime| begun_at + lifetime.mul_f64(LIFETIME_USED));
        }
        Ok(connection)
    }

    /// Whether the broker's belief in our login lasts for another request. It is opened anew otherwise: we do not log in
    /// twice on one connection.
    pub(super) fn is_good(&self, now: Instant) -> bool {
        self.good_until.is_none_or(|until| now < until)
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
        let written = self
            .link
            .set_timeouts(None, Some(RESPONSE_LIMIT))
            .and_then(|()| self.link.write_all(&self.out))
            .and_then(|()| self.link.flush());
        // A password may have been in it.
        if R::KEY == ApiKey::SaslAuthenticate {
            self.out.as_mut().zeroize();
        }
        written.map_err(|error| self.broken(&error))?;
        Ok(Sent { id })
    }

    /// Waits for the response to `sent`: header and body, into `frame`, whose old contents are overwritten.
    ///
    /// # Errors
    /// `Away` when the connection breaks, nothing comes in time, or it is not this request's response: the connection
    /// is of no more use.
    pub(super) fn receive(&mut self, sent: &Sent, frame: &mut Vec<u8>) -> Result<(), Fault> {
        // Not from the request on: who asked ahead may come for the answer much later.
        let mut wait = self.leave.wait(RESPONSE_LIMIT);
        let mut length = [0; LENGTH];
        self.fill(&mut length, &mut wait)?;
        // A TLS record that says why it ends the handshake: type 21, version 3.x.
        if matches!(length, [21, 3, ..]) && self.tls.is_none() {
            return Err(Fault::Halt(format!(
                "{} speaks TLS at this port: set KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL, or name another port",
                self.place
            )));
        }
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0);
        if !(LENGTH..=RESPONSE_BYTES_MAX).contains(&length) {
            return Err(Fault::away(
                &self.place,
                format!("a response of {length} bytes: is this a Kafka broker?"),
            ));
        }
        frame.resize(length, 0);
        self.fill(frame, &mut wait)?;
        let id = (&frame[..]).get_i32();
        if id != sent.id {
            return Err(Fault::away(&self.place, format!("response {id} to request {}", sent.id)));
        }
        self.is_let_in |= !self.versions.is_empty();
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
            self.leave.pause(until.saturating_duration_since(Instant::now()));
        }
    }

    fn fill(&mut self, buffer: &mut [u8], wait: &mut Wait) -> Result<(), Fault> {
        let mut filled = 0;
        while filled < buffer.len() {
            let left = wait.next().ok_or_else(|| Fault::away(&self.place, wait.said("no answer")))?;
            self.link.set_timeouts(Some(left), None).map_err(|error| Fault::away(&self.place, error))?;
            match self.link.read(&mut buffer[filled..]) {
                Ok(0) => return Err(self.closed()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(self.broken(&error)),
            }
        }
        Ok(())
    }

    fn broken(&self, error: &std::io::Error) -> Fault {
        use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        // With TLS 1.3 the broker judges our certificate after our side of the handshake is done.
        if let Some(fault) = self.tls.as_ref().and_then(|tls| security::explained(error, &self.address, tls))
        {
            return fault;
        }
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => self.closed(),
            _ => Fault::away(&self.place, error.to_string()),
        }
    }

    /// The broker closed the connection. It does so without a word when it expects to be spoken to otherwise.
    fn closed(&self) -> Fault {
        let next = match (self.is_let_in, self.versions.is_empty()) {
            (true, _) => "",
            (false, true) => {
                " before it said anything: if it speaks TLS at this port, set KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL"
            }
            (false, false) => {
                " at the first request: if it wants a login at this port, set KAFKA_SECURITY_PROTOCOL to SASL_SSL or \
                 SASL_PLAINTEXT"
            }
        };
        Fault::away(&self.place, format!("the broker closed the connection{next}"))
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

/// Connects on a thread of its own: nothing else ends the system's search for a name, nor an attempt to connect.
fn connect(address: &Address, place: &str, leave: &Leave) -> Result<TcpStream, Fault> {
    let (sender, dialled) = sync_channel(1);
    let (address, place_of_thread) = (address.clone(), place.to_owned());
    let dials = move || sender.send(dial(&address, &place_of_thread));
    thread::Builder::new()
        .name("kafka-connect".into())
        .spawn(dials)
        .map_err(|error| Fault::away(place, error))?;
    let mut wait = leave.wait(DIAL_LIMIT);
    while let Some(pause) = wait.next() {
        match dialled.recv_timeout(pause) {
            Ok(dialled) => return dialled,
            Err(RecvTimeoutError::Timeout) => {}
            Err(error @ RecvTimeoutError::Disconnected) => return Err(Fault::away(place, error)),
        }
    }
    Err(Fault::away(place, wait.said("no connection")))
}

fn dial(address: &Address, place: &str) -> Result<TcpStream, Fault> {
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
