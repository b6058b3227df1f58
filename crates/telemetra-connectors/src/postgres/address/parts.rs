//! An address in parts: each may come from another place (an address, single settings), and the whole is judged
//! once. What an address says beats what single parts say; host and port go together.

use std::{path::PathBuf, time::Duration};

use super::{
    Address, AddressFault, CONNECT_TIMEOUT, ChannelBinding, HOSTS_MAX, Host, PORT, Protection, Roots,
    SslMode, Target,
    text::{self, checked_host},
};
use crate::postgres::Secret;

/// What one place says of an address; the rest is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Servers; with none, `localhost`.
    pub hosts: Vec<Host>,
    /// Port of servers that are named without one; for single settings.
    pub port: Option<u16>,
    /// The database.
    pub database: Option<String>,
    /// The role.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// How the connection is protected.
    pub ssl_mode: Option<SslMode>,
    /// PEM file of certificate authorities, or `system`.
    pub root_cert: Option<PathBuf>,
    /// PEM file of the client's certificate.
    pub certificate: Option<PathBuf>,
    /// File of its key.
    pub key: Option<PathBuf>,
    /// `search_path`.
    pub schema: Option<String>,
    /// The server's command-line options of the session.
    pub options: Option<String>,
    /// The application's name.
    pub application_name: Option<String>,
    /// How long one host is waited for.
    pub connect_timeout: Option<Duration>,
    /// Which servers will do.
    pub target: Option<Target>,
    /// Whether the password's proof is bound to the TLS connection.
    pub channel_binding: Option<ChannelBinding>,
    /// A password may go over a connection that is not encrypted.
    pub allow_clear_password: bool,
    /// What was accepted without effect, one line each.
    pub notes: Vec<String>,
}

impl Parts {
    /// Reads `postgres://…`, `postgresql://…` or `jdbc:postgresql:…`.
    ///
    /// # Errors
    /// What is wrong and the way on, without the password.
    pub fn parse(text: &str) -> Result<Self, AddressFault> {
        text::read(text)
    }

    /// Whether `text` is meant to be the address of a PostgreSQL server, right or wrong.
    pub fn is_meant(text: &str) -> bool {
        text::scheme(text).is_some()
    }

    /// The host or folder of sockets that `text` names, as a single setting does: without a port.
    ///
    /// # Errors
    /// When it is neither; several are separated by commas.
    pub fn hosts_of(text: &str, port: u16) -> Result<Vec<Host>, AddressFault> {
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        names.into_iter().map(|name| checked_host(name, port)).collect()
    }

    /// Fills what is open from `others` and notes what of them is not heeded; `named` says what they are called.
    #[must_use]
    pub fn or(mut self, others: Parts, named: &str) -> Self {
        let mut unheeded = Vec::new();
        if self.hosts.is_empty() {
            self.hosts = others.hosts;
        } else if !others.hosts.is_empty() && others.hosts != self.hosts {
            unheeded.push("host");
        }
        fill(&mut self.database, others.database, "database", &mut unheeded);
        fill(&mut self.user, others.user, "user", &mut unheeded);
        fill(&mut self.password, others.password, "password", &mut unheeded);
        fill(&mut self.ssl_mode, others.ssl_mode, "sslmode", &mut unheeded);
        fill(&mut self.root_cert, others.root_cert, "CA file", &mut unheeded);
        fill(&mut self.certificate, others.certificate, "client certificate", &mut unheeded);
        fill(&mut self.key, others.key, "client key", &mut unheeded);
        fill(&mut self.schema, others.schema, "schema", &mut unheeded);
        fill(&mut self.options, others.options, "options", &mut unheeded);
        fill(&mut self.application_name, others.application_name, "application name", &mut unheeded);
        fill(&mut self.connect_timeout, others.connect_timeout, "connect timeout", &mut unheeded);
        fill(&mut self.target, others.target, "target", &mut unheeded);
        fill(&mut self.channel_binding, others.channel_binding, "channel binding", &mut unheeded);
        self.port = self.port.or(others.port);
        self.allow_clear_password |= others.allow_clear_password;
        self.notes.extend(others.notes);
        if !unheeded.is_empty() {
            let what = unheeded.join(", ");
            self.notes.push(format!("not heeded of {named}, the address says otherwise: {what}"));
        }
        self
    }

    /// The whole address, with defaults for what is still open.
    ///
    /// # Errors
    /// When a password would cross the network in clear; when the parts contradict each other.
    pub fn finish(self) -> Result<Address, AddressFault> {
        let mut notes = self.notes;
        let mut hosts = self.hosts;
        if hosts.is_empty() {
            hosts.push(Host::Tcp("localhost".into(), self.port.unwrap_or(PORT)));
        }
        if hosts.len() > HOSTS_MAX {
            let what = format!("names {} hosts", hosts.len());
            return Err(AddressFault::new(what, format!("name at most {HOSTS_MAX}")));
        }
        let away = hosts.iter().find(|host| !host.is_local());
        let asks_system = self.root_cert.as_ref().is_some_and(|path| path.as_os_str() == "system");
        // Another machine's certificate is verified unless told otherwise; libpq would begin with `prefer`.
        let strict = (away.is_some() && !self.allow_clear_password) || asks_system;
        let default = if strict { SslMode::VerifyFull } else { SslMode::Prefer };
        let mode = self.ssl_mode.unwrap_or(default);
        if asks_system && mode != SslMode::VerifyFull {
            let what = format!("sslmode={} is too weak for sslrootcert=system", mode.word());
            let next = "any certificate of a public authority would do: choose sslmode=verify-full";
            return Err(AddressFault::new(what, next));
        }
        if let (Some(host), Some(_), SslMode::Disable, false) =
            (away, &self.password, mode, self.allow_clear_password)
        {
            return Err(clear_password(host));
        }
        let roots = self.root_cert.filter(|_| !asks_system).map_or(Roots::System, Roots::File);
        if self.certificate.is_some() != self.key.is_some() {
            let what = "a client certificate needs its key, and a key its certificate";
            return Err(AddressFault::new(what, "name both sslcert and sslkey, PEM files"));
        }
        if let (Some(host), false, Roots::System) = (away, verifies(mode), &roots)
            && mode != SslMode::Disable
        {
            notes.push(format!(
                "with sslmode={} nobody checks that {host} is the server it says it is: sslmode=verify-full does",
                mode.word()
            ));
        }
        let tls = Protection { mode, roots, certificate: self.certificate, key: self.key };
        Ok(Address {
            hosts,
            database: self.database,
            user: self.user,
            password: self.password,
            tls,
            schema: self.schema,
            options: self.options,
            application_name: self.application_name,
            connect_timeout: self.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            target: self.target,
            channel_binding: self.channel_binding,
            allow_clear_password: self.allow_clear_password,
            notes,
        })
    }
}

fn verifies(mode: SslMode) -> bool {
    matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull)
}

fn clear_password(host: &Host) -> AddressFault {
    AddressFault::new(
        format!("sslmode=disable would send the password to another machine, {host}, in clear"),
        CLEAR_PASSWORD_NEXT,
    )
}

/// The ways on where a password would cross the network in clear.
pub(in crate::postgres) const CLEAR_PASSWORD_NEXT: &str = "choose sslmode=verify-full and name the CA file in \
     sslrootcert (POSTGRES_SSL_ROOT_CERT), or allow it where the network is your own: \
     postgres_allow_clear_password = true (POSTGRES_ALLOW_CLEAR_PASSWORD)";

/// Takes `other` where `slot` is open; names what is not heeded because it says something else.
fn fill<T: PartialEq>(
    slot: &mut Option<T>,
    other: Option<T>,
    name: &'static str,
    unheeded: &mut Vec<&'static str>,
) {
    match (&slot, other) {
        (None, other) => *slot = other,
        (Some(own), Some(other)) if *own != other => unheeded.push(name),
        _ => {}
    }
}
