//! Where the server is and how to get there, whole and judged.
//!
//! `text` reads addresses as users write them, `parameter` knows their parameters, `parts` fills what one place
//! leaves open from another and judges the whole. Nothing here touches the network or the environment.
//!
//! Invariant: no password leaves but by [`Secret::expose`]; no error repeats a piece of a text that may hold one.

mod parameter;
mod parts;
#[cfg(test)]
mod tests;
mod text;

use std::{
    fmt::{self, Write as _},
    net::{IpAddr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

pub(super) use self::parts::CLEAR_PASSWORD_NEXT;
pub use self::parts::Parts;
use super::Secret;
use crate::tls::Roots;

/// PostgreSQL's port.
pub const PORT: u16 = 5432;
/// How long one host is waited for unless told otherwise.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Hosts that one address may name.
pub(super) const HOSTS_MAX: usize = 16;

/// A server, a database, and how to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// In the order in which they are tried; never empty.
    pub(super) hosts: Vec<Host>,
    /// `None`: the database with the user's name.
    pub(super) database: Option<String>,
    /// `None`: the name of the operating system's user.
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) tls: Protection,
    /// What `search_path` is set to, as written.
    pub(super) schema: Option<String>,
    /// The server's command-line options of the session.
    pub(super) options: Option<String>,
    /// Beats the name that the session's opener gives.
    pub(super) application_name: Option<String>,
    pub(super) connect_timeout: Duration,
    /// Which servers will do; writers take none but those that can be written.
    pub(super) target: Option<Target>,
    pub(super) channel_binding: Option<ChannelBinding>,
    /// A password may go over a connection that is not encrypted.
    pub(super) allow_clear_password: bool,
    notes: Vec<String>,
}

/// How the connection is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Protection {
    pub(super) mode: SslMode,
    pub(super) roots: Roots,
    /// PEM file of the client's certificate.
    pub(super) certificate: Option<PathBuf>,
    /// Its key, PEM or PKCS #8 in DER.
    pub(super) key: Option<PathBuf>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// By name or number, and port.
    Tcp(String, u16),
    /// A folder of Unix sockets, and the port in the socket's name.
    Socket(PathBuf, u16),
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// As `Prefer`; libpq would try without encryption first.
    Allow,
    /// Encrypted if the server can; never in clear if a password would go to another machine.
    Prefer,
    /// Encrypted; the certificate is not verified unless a CA file is named.
    Require,
    /// Encrypted, the certificate's chain verified, not its name.
    VerifyCa,
    /// Encrypted, chain and name verified.
    VerifyFull,
}

/// libpq's `target_session_attrs`, as far as one server can answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Any server; `prefer-standby` too.
    Any,
    /// One that can be written; `primary` too.
    ReadWrite,
    /// One that cannot; `standby` too.
    ReadOnly,
}

/// Whether the password's proof is bound to the TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// If the server offers it.
    Prefer,
    /// Always: a server that cannot is not logged in to.
    Require,
}

/// What is wrong with an address, and the way on. Never holds a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressFault {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub next: String,
}

impl AddressFault {
    pub(super) fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: next.into() }
    }
}

impl fmt::Display for AddressFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.next)
    }
}

impl SslMode {
    /// All modes with libpq's words for them, weakest first.
    pub const WORDS: [(&'static str, SslMode); 6] = [
        ("disable", SslMode::Disable),
        ("allow", SslMode::Allow),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ];

    /// libpq's word.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, mode)| *mode == self).map_or("", |(word, _)| word)
    }

    /// Whether a server without TLS is refused.
    pub(super) fn demands_tls(self) -> bool {
        matches!(self, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull)
    }
}

impl Host {
    /// Whether it is on this machine, as far as its text says.
    pub(super) fn is_local(&self) -> bool {
        let Host::Tcp(name, _) = self else { return true };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        match name.parse::<IpAddr>() {
            Ok(ip) => is_loopback(ip),
            Err(_) => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

/// Whether `ip` is this machine's own, an IPv4 number in IPv6's clothes included.
pub(super) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Tcp(name, port) if name.parse::<Ipv6Addr>().is_ok() => write!(f, "[{name}]:{port}"),
            Host::Tcp(name, port) => write!(f, "{name}:{port}"),
            Host::Socket(folder, port) => write!(f, "{}/.s.PGSQL.{port}", folder.display()),
        }
    }
}

impl Address {
    /// The schema that the result tables are in; PostgreSQL's default if none is named.
    pub fn schema_name(&self) -> &str {
        self.schema.as_deref().unwrap_or("public")
    }

    /// The database; like libpq, the user's name if none is named.
    pub fn database_name(&self) -> &str {
        self.database.as_deref().or(self.user.as_deref()).unwrap_or("postgres")
    }

    /// Reads `postgres://user:password@host:port/database?…`, `postgresql://…` or `jdbc:postgresql://…`, whole.
    ///
    /// # Errors
    /// What is wrong and the way on, without the password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = Parts::parse(text).map_err(|fault| fault.to_string())?;
        parts.finish().map_err(|fault| fault.to_string())
    }

    /// What is accepted without effect, or worth knowing; one line each, without secrets.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether a password is known.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// The address as a URL that reads back to the same address, but for the password.
    pub fn shown(&self) -> String {
        let mut shown = String::from("postgres://");
        if let Some(user) = &self.user {
            shown.push_str(&text::encoded(user));
            shown.push('@');
        }
        for (at, host) in self.hosts.iter().enumerate() {
            shown.push_str(if at > 0 { "," } else { "" });
            match host {
                Host::Tcp(..) => write!(shown, "{host}").expect("writing to a string cannot fail"),
                Host::Socket(folder, port) => {
                    let folder = text::encoded(&folder.to_string_lossy());
                    write!(shown, "{folder}:{port}").expect("writing to a string cannot fail");
                }
            }
        }
        if let Some(database) = &self.database {
            shown.push('/');
            shown.push_str(&text::encoded(database));
        }
        let parameters = self.parameters();
        for (at, (name, value)) in parameters.iter().enumerate() {
            shown.push(if at == 0 { '?' } else { '&' });
            write!(shown, "{name}={}", text::encoded(value)).expect("writing to a string cannot fail");
        }
        shown
    }

    /// The parameters that `shown` names: those that differ from their defaults.
    fn parameters(&self) -> Vec<(&'static str, String)> {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let root = match &self.tls.roots {
            Roots::System => None,
            Roots::File(file) => Some(path(file)),
        };
        let timeout = Some(self.connect_timeout).filter(|timeout| *timeout != CONNECT_TIMEOUT);
        let target = self.target.map(|target| match target {
            Target::Any => "any",
            Target::ReadWrite => "read-write",
            Target::ReadOnly => "read-only",
        });
        let binding = self.channel_binding.map(|binding| match binding {
            ChannelBinding::Disable => "disable",
            ChannelBinding::Prefer => "prefer",
            ChannelBinding::Require => "require",
        });
        let all = [
            ("sslmode", Some(self.tls.mode.word().to_owned())),
            ("sslrootcert", root),
            ("sslcert", self.tls.certificate.as_ref().map(path)),
            ("sslkey", self.tls.key.as_ref().map(path)),
            ("currentSchema", self.schema.clone()),
            ("options", self.options.clone()),
            ("application_name", self.application_name.clone()),
            ("connect_timeout", timeout.map(|timeout| timeout.as_secs().to_string())),
            ("target_session_attrs", target.map(str::to_owned)),
            ("channel_binding", binding.map(str::to_owned)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}
