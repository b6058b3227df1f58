//! From an address to one server that will do: hosts in order, each with a time limit, TLS asked for by our own
//! hand, so that every step has its own sentence when it fails.
//!
//! ```text
//! resolve ──► socket ──► SSLRequest ──► handshake ──► password ──► facts ──► settings of the session
//! ```
//!
//! Invariant: a password is never sent over a socket that is neither encrypted, nor of this machine, nor allowed.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream, lookup_host},
    time::timeout,
};
use tokio_postgres::{
    CancelToken, Client, Config, NoTls,
    config::{ChannelBinding as Binding, SslMode as ClientSslMode, SslNegotiation},
    error::SqlState,
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    Address, SslMode,
    address::{CLEAR_PASSWORD_NEXT, ChannelBinding, Host, is_loopback},
    failure::{Failure, at_connect},
    session::{Driver, Purpose},
    setup, tls,
};

/// Silence after which a peer is asked whether it is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
/// How often it is asked again.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How often at most, before the connection is given up.
const KEEPALIVE_RETRIES: u32 = 3;
/// How long sent bytes may stay unacknowledged.
const USER_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest attempt over all hosts.
const TOTAL_LIMIT: Duration = Duration::from_secs(60);
/// Numbers of one host name that are tried.
const NUMBERS_MAX: usize = 8;
/// The way on where nobody answers.
const START: &str = "start the server, or correct its host and port";
/// Asks a server for TLS: length 8, code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A connection whose server will do.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) driver: Driver,
    pub(super) facts: setup::Facts,
    pub(super) way: Way,
}

/// How the server was reached; enough to reach it again and cancel what it does for us.
#[derive(Clone)]
pub(super) struct Way {
    /// For people: the host as the address names it.
    pub(super) place: Arc<str>,
    spot: Spot,
    /// The name that the certificate must have.
    name: String,
    tls: Option<MakeRustlsConnect>,
    token: Option<CancelToken>,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").field("place", &self.place).field("spot", &self.spot).finish_non_exhaustive()
    }
}

/// One place to connect to.
#[derive(Clone, Debug)]
enum Spot {
    Tcp(SocketAddr),
    Socket(PathBuf),
}

/// Connects to the first host that will do for `purpose`.
///
/// # Errors
/// `Refused` if a host was reached and did not let us in, else `Away` with what each host said.
pub(super) async fn connect(address: &Address, name: &str, purpose: Purpose) -> Result<Connected, Failure> {
    let attempt = timeout(TOTAL_LIMIT, over_hosts(address, name, purpose)).await;
    attempt.unwrap_or_else(|_| {
        let seconds = TOTAL_LIMIT.as_secs();
        Err(Failure::Away(format!("no host of {address} answered within {seconds} s")))
    })
}

async fn over_hosts(address: &Address, name: &str, purpose: Purpose) -> Result<Connected, Failure> {
    let tls = match address.tls.mode {
        SslMode::Disable => None,
        _ if address.hosts.iter().all(|host| matches!(host, Host::Socket(..))) => None,
        _ => Some(tls::connector(&address.tls).map_err(Failure::Refused)?),
    };
    let (mut away, mut refused) = (Vec::new(), None);
    for host in &address.hosts {
        let place: Arc<str> = host.to_string().into();
        let spots = match timeout(address.connect_timeout, spots(host)).await {
            Ok(Ok(spots)) => spots,
            Ok(Err(error)) => {
                away.push(format!("the host of {place} is not known: {error}: correct its name"));
                continue;
            }
            Err(_) => {
                away.push(format!("the name of {place} was not resolved in time"));
                continue;
            }
        };
        for spot in spots {
            let way =
                Way { place: place.clone(), spot, name: host_name(host), tls: tls.clone(), token: None };
            let limit = address.connect_timeout;
            match timeout(limit, one(address, name, purpose, way)).await {
                Ok(Ok(connected)) => return Ok(connected),
                // As libpq: who is not let in at one host does not try its password on the others.
                Ok(Err((Failure::Refused(text), Stage::Login))) => return Err(Failure::Refused(text)),
                Ok(Err((Failure::Refused(text), _))) => _ = refused.get_or_insert(text),
                Ok(Err((failure, _))) => away.push(failure.to_string()),
                Err(_) => away.push(format!("{place} did not answer within {} s: {START}", limit.as_secs())),
            }
        }
    }
    away.dedup();
    Err(refused.map_or_else(|| Failure::Away(away.join("; ")), Failure::Refused))
}

/// How far an attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Reach,
    Tls,
    Login,
}

impl Spot {
    fn ip(&self) -> IpAddr {
        match self {
            Spot::Tcp(to) => to.ip(),
            Spot::Socket(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

/// Whether the password, if there is one, may be sent to `ip` over a connection that is not encrypted.
///
/// A challenge answered is treated as the password itself: who stands between may ask for that instead.
fn may_be_clear(address: &Address, ip: IpAddr) -> bool {
    address.password.is_none() || address.allow_clear_password || is_loopback(ip)
}

async fn spots(host: &Host) -> io::Result<Vec<Spot>> {
    match host {
        Host::Socket(folder, port) => Ok(vec![Spot::Socket(folder.join(format!(".s.PGSQL.{port}")))]),
        Host::Tcp(name, port) => {
            let found = lookup_host((name.as_str(), *port)).await?;
            let spots: Vec<_> = found.take(NUMBERS_MAX).map(Spot::Tcp).collect();
            if spots.is_empty() { Err(io::Error::other("it has no number")) } else { Ok(spots) }
        }
    }
}

fn host_name(host: &Host) -> String {
    match host {
        Host::Tcp(name, _) => name.clone(),
        Host::Socket(..) => String::new(),
    }
}

async fn one(
    address: &Address,
    name: &str,
    purpose: Purpose,
    way: Way,
) -> Result<Connected, (Failure, Stage)> {
    let reach = |error: io::Error| {
        (Failure::Away(format!("{} cannot be reached: {error}: {START}", way.place)), Stage::Reach)
    };
    match way.spot.clone() {
        Spot::Tcp(to) => {
            let stream = tcp(to).await.map_err(reach)?;
            greet(address, name, purpose, way, stream).await
        }
        Spot::Socket(path) => {
            let stream = UnixStream::connect(path).await.map_err(reach)?;
            let way = Way { tls: None, ..way };
            greet(address, name, purpose, way, stream).await
        }
    }
}

async fn tcp(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(stream)
}

/// Protects the stream, logs in and looks at the server.
async fn greet<S>(
    address: &Address,
    name: &str,
    purpose: Purpose,
    mut way: Way,
    mut stream: S,
) -> Result<Connected, (Failure, Stage)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let place = way.place.clone();
    if way.tls.is_some() && !asks_tls(&mut stream, &place).await.map_err(|it| (it, Stage::Reach))? {
        if address.tls.mode.demands_tls() {
            let mode = address.tls.mode.word();
            let next = "turn ssl on there, or choose a weaker sslmode where the network is your own";
            let text = format!("{place} does not speak TLS, which sslmode={mode} demands: {next}");
            return Err((Failure::Refused(text), Stage::Reach));
        }
        way.tls = None;
    }
    let ip = way.spot.ip();
    if way.tls.is_none() && !may_be_clear(address, ip) {
        let text = format!(
            "{place} ({ip}) is another machine and the connection is not encrypted, so the password is not \
             sent: {CLEAR_PASSWORD_NEXT}"
        );
        return Err((Failure::Refused(text), Stage::Reach));
    }
    let config = config(address, name, way.tls.is_some());
    let refused = |error| {
        let stage = if tls::cause(&error).is_some() { Stage::Tls } else { Stage::Login };
        (logged_in(&error, address, &way), stage)
    };
    let (client, driver) = match &way.tls {
        Some(tls) => {
            let tls = made::<S>(tls.clone(), &way.name);
            let (client, connection) = config.connect_raw(stream, tls).await.map_err(refused)?;
            (client, Driver::spawn(connection))
        }
        None => {
            let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(refused)?;
            (client, Driver::spawn(connection))
        }
    };
    way.token = Some(client.cancel_token());
    let facts = setup::set_up(&client, address, purpose, &place).await;
    let facts = facts.map_err(|failure| (failure, Stage::Reach))?;
    Ok(Connected { client, driver, facts, way })
}

/// Whether the server goes on in TLS. What it says before is not trusted with anything else.
async fn asks_tls<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, place: &str) -> Result<bool, Failure> {
    let lost = |error: io::Error| Failure::Away(format!("{place} ended the connection: {error}"));
    stream.write_all(&SSL_REQUEST).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    match stream.read_u8().await.map_err(lost)? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        b'E' => Err(Failure::Away(format!("{place} cannot take a connection now"))),
        _ => Err(Failure::Refused(format!("{place} does not answer as PostgreSQL does: look at its port"))),
    }
}

fn made<S>(mut tls: MakeRustlsConnect, name: &str) -> <MakeRustlsConnect as MakeTlsConnect<S>>::TlsConnect
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match MakeTlsConnect::<S>::make_tls_connect(&mut tls, name) {
        Ok(connect) => connect,
        Err(never) => match never {},
    }
}

fn config(address: &Address, name: &str, is_encrypted: bool) -> Config {
    let mut config = Config::new();
    if is_encrypted {
        // The request was sent and answered already.
        config.ssl_mode(ClientSslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    } else {
        config.ssl_mode(ClientSslMode::Disable);
    }
    config.application_name(address.application_name.as_deref().unwrap_or(name));
    if let Some(user) = &address.user {
        config.user(user);
    }
    if let Some(database) = &address.database {
        config.dbname(database);
    }
    if let Some(options) = &address.options {
        config.options(options);
    }
    if let Some(password) = &address.password {
        config.password(password.expose());
    }
    config.channel_binding(match address.channel_binding {
        Some(ChannelBinding::Disable) => Binding::Disable,
        Some(ChannelBinding::Require) => Binding::Require,
        Some(ChannelBinding::Prefer) | None => Binding::Prefer,
    });
    config
}

/// What an error before the first statement means.
fn logged_in(error: &tokio_postgres::Error, address: &Address, way: &Way) -> Failure {
    let place = &way.place;
    if let Some(cause) = tls::cause(error) {
        let explained = tls::explained(cause, &way.name, &address.tls);
        return Failure::Refused(format!("no TLS connection to {place}: {explained}"));
    }
    // The server asked for a password, and the client had none.
    let is_bare = address.password.is_none() && error.as_db_error().is_none();
    match at_connect(error, place) {
        Failure::Refused(text) if is_bare => {
            let next = "no password is given: POSTGRES_PASSWORD_FILE or POSTGRES_PASSWORD names one";
            Failure::Refused(format!("{text}; {next}"))
        }
        // What pg_hba.conf refuses for want of encryption has the state of all that it refuses.
        Failure::Refused(text)
            if error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
                && way.tls.is_none()
                && matches!(way.spot, Spot::Tcp(_)) =>
        {
            let next =
                "the connection is not encrypted, which the server may demand: choose sslmode=verify-full";
            Failure::Refused(format!("{text}; {next}"))
        }
        failure => failure,
    }
}

impl Way {
    /// Asks the server to end what it does for this session; it may have ended before.
    pub(super) async fn cancel(&self) -> Result<(), Failure> {
        let Some(token) = &self.token else { return Ok(()) };
        let lost = |error: io::Error| Failure::Away(error.to_string());
        match &self.spot {
            Spot::Tcp(to) => {
                let mut stream = tcp(*to).await.map_err(lost)?;
                match &self.tls {
                    Some(tls) if asks_tls(&mut stream, &self.place).await? => {
                        token.cancel_query_raw(stream, made::<TcpStream>(tls.clone(), &self.name)).await?;
                    }
                    // It spoke TLS before: what answers now is no server of ours.
                    Some(_) => {}
                    None => token.cancel_query_raw(stream, NoTls).await?,
                }
            }
            Spot::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(lost)?;
                token.cancel_query_raw(stream, NoTls).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_stays_off_the_network_in_clear() {
        let check = |text: &str, ip: &str, expected: bool| {
            let address = Address::parse(text).expect("an address");
            assert_eq!(may_be_clear(&address, ip.parse().expect("a number")), expected, "{text} {ip}");
        };
        check("postgres://u:p@localhost/d", "127.0.0.1", true);
        check("postgres://u:p@localhost/d", "::1", true);
        // A name that says it is this machine and is not.
        check("postgres://u:p@localhost/d", "192.0.2.1", false);
        check("postgres://u:p@db/d?sslmode=prefer", "192.0.2.1", false);
        check("postgres://u:p@db/d?sslmode=prefer", "127.0.0.1", true);
        check("postgres://u@db/d?sslmode=disable", "192.0.2.1", true);
    }
}
