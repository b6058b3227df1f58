//! Bytes to and from a broker: as they come, or encrypted after its certificate was judged.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConnection, StreamOwned, pki_types::ServerName};

use super::Tls;
use crate::{
    kafka::{connection::Address, fault::Fault, leave::Wait},
    tls::{self, Demand, Words},
};

const WORDS: Words = Words {
    roots: "KAFKA_SSL_CA_LOCATION",
    identity: "KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION",
    or_no_name: ", or have it added to the certificate",
};

/// A stream to one broker.
#[derive(Debug)]
pub(in crate::kafka) enum Link {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Link {
    /// Makes the stream what `tls` says, as long as `wait` goes on.
    ///
    /// # Errors
    /// `Halt` for a certificate that is not good enough, or files that are not there; `Away` when the broker does not
    /// go on.
    pub(in crate::kafka) fn over(
        mut socket: TcpStream,
        tls: Option<&Tls>,
        address: &Address,
        mut wait: Wait,
    ) -> Result<Self, Fault> {
        let Some(tls) = tls else { return Ok(Self::Plain(socket)) };
        let place = address.to_string();
        let config = tls::client_config(Demand::ChainAndName, &tls.roots, tls.identity.as_ref(), &WORDS);
        let config = config.map_err(|text| Fault::Halt(format!("no TLS connection to {place}: {text}")))?;
        let name = ServerName::try_from(address.host.clone())
            .map_err(|_| Fault::Halt(format!("{place}: a certificate cannot be for such a name")))?;
        let mut connection = ClientConnection::new(Arc::new(config), name)
            .map_err(|error| Fault::Halt(format!("no TLS connection to {place}: {error}")))?;
        while connection.is_handshaking() {
            let left = wait.next().ok_or_else(|| Fault::away(&place, wait.said("no TLS handshake")))?;
            let timed = socket.set_read_timeout(Some(left)).and(socket.set_write_timeout(Some(left)));
            timed.map_err(|error| Fault::away(&place, error))?;
            match connection.complete_io(&mut socket) {
                Ok(_) => {}
                Err(error) if is_later(&error) => {}
                Err(error) => return Err(failed(&error, address, tls)),
            }
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, socket))))
    }

    /// Limits each single wait from now on.
    pub(in crate::kafka) fn set_timeouts(
        &self,
        read: Option<Duration>,
        write: Option<Duration>,
    ) -> io::Result<()> {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        };
        read.map_or(Ok(()), |limit| socket.set_read_timeout(Some(limit)))?;
        write.map_or(Ok(()), |limit| socket.set_write_timeout(Some(limit)))
    }
}

/// Whether nothing has come yet, which is no fault.
fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A handshake that failed.
fn failed(error: &io::Error, address: &Address, tls: &Tls) -> Fault {
    if let Some(fault) = explained(error, address, tls) {
        return fault;
    }
    let cause = match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the broker closed the connection during the TLS handshake: a port that does not speak TLS does so \
             (then KAFKA_SECURITY_PROTOCOL is PLAINTEXT or SASL_PLAINTEXT)"
                .to_owned()
        }
        _ => error.to_string(),
    };
    Fault::away(&address.to_string(), cause)
}

/// What rustls found wrong, if an error of the stream stems from it: the same again next time, so a `Halt`.
pub(in crate::kafka) fn explained(error: &io::Error, address: &Address, tls: &Tls) -> Option<Fault> {
    let cause = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let explained = match cause {
        rustls::Error::InvalidMessage(_) => {
            "what answers there does not speak TLS: is KAFKA_SECURITY_PROTOCOL right, \
                                             and the port?"
                .to_owned()
        }
        cause => tls::explained(cause, &address.host, &tls.roots, &WORDS),
    };
    Some(Fault::Halt(format!("no TLS connection to {address}: {explained}")))
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
