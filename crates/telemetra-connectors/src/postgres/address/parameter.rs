//! The parameters of addresses, libpq's and pgjdbc's, in one table: what each means here.
//!
//! A parameter that only tunes another client is accepted with a note. One that asks for protection that is not
//! given here is refused, since ignoring it would weaken the connection in silence. Values are never repeated.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use super::{
    AddressFault, ChannelBinding, Parts, SslMode, Target,
    text::{checked_host, port_of},
};
use crate::postgres::Secret;

/// How long a host may be waited for, seconds.
const CONNECT_TIMEOUT_S: RangeInclusive<u64> = 1..=600;

/// What a parameter means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    User,
    Password,
    Database,
    Hosts,
    Ports,
    SslMode,
    /// pgjdbc's `ssl`, which says verify-full unless a factory weakens it.
    Ssl,
    SslFactory,
    RootCert,
    Certificate,
    Key,
    Schema,
    Options,
    Name,
    ConnectTimeout,
    Target,
    ChannelBinding,
    /// UTF8 is spoken whatever it says.
    Encoding,
    /// Accepted: it has no meaning here.
    Unused,
    /// Accepted: telemetra has limits of its own for it.
    OurOwn,
    /// Refused: it asks for what is not offered.
    Missing,
}

use Meaning::{
    Certificate, ConnectTimeout, Database, Encoding, Hosts, Key, Missing, Name, Options, OurOwn, Password,
    Ports, RootCert, Schema, Ssl, SslFactory, Unused, User,
};

/// Every name that is known.
const NAMES: &[(&str, Meaning)] = &[
    ("user", User),
    ("password", Password),
    ("dbname", Database),
    ("PGDBNAME", Database),
    ("host", Hosts),
    ("PGHOST", Hosts),
    ("port", Ports),
    ("PGPORT", Ports),
    ("sslmode", Meaning::SslMode),
    ("ssl", Ssl),
    ("sslfactory", SslFactory),
    ("sslrootcert", RootCert),
    ("sslcert", Certificate),
    ("sslkey", Key),
    ("currentSchema", Schema),
    ("search_path", Schema),
    ("options", Options),
    ("application_name", Name),
    ("fallback_application_name", Unused),
    ("ApplicationName", Name),
    ("connect_timeout", ConnectTimeout),
    ("connectTimeout", ConnectTimeout),
    ("loginTimeout", OurOwn),
    ("socketTimeout", OurOwn),
    ("cancelSignalTimeout", OurOwn),
    ("target_session_attrs", Meaning::Target),
    ("targetServerType", Meaning::Target),
    ("channel_binding", Meaning::ChannelBinding),
    ("channelBinding", Meaning::ChannelBinding),
    ("client_encoding", Encoding),
    ("charSet", Encoding),
    ("characterEncoding", Encoding),
    // How the connection is kept alive: ours is set by what delivery needs.
    ("keepalives", OurOwn),
    ("keepalives_idle", OurOwn),
    ("keepalives_interval", OurOwn),
    ("keepalives_count", OurOwn),
    ("tcp_user_timeout", OurOwn),
    ("tcpKeepAlive", OurOwn),
    ("tcpNoDelay", OurOwn),
    ("receiveBufferSize", OurOwn),
    ("sendBufferSize", OurOwn),
    ("maxSendBufferSize", OurOwn),
    ("load_balance_hosts", OurOwn),
    ("loadBalanceHosts", OurOwn),
    ("hostRecheckSeconds", OurOwn),
    ("readOnly", OurOwn),
    ("readOnlyMode", OurOwn),
    ("autosave", OurOwn),
    ("sslcompression", OurOwn),
    ("sslsni", OurOwn),
    ("sslnegotiation", OurOwn),
    ("sslNegotiation", OurOwn),
    ("sslResponseTimeout", OurOwn),
    ("ssl_min_protocol_version", OurOwn),
    ("sslhostnameverifier", OurOwn),
    ("gssencmode", OurOwn),
    ("gssEncMode", OurOwn),
    ("gssResponseTimeout", OurOwn),
    ("gssdelegation", OurOwn),
    // How other clients prepare, fetch, convert and log.
    ("reWriteBatchedInserts", Unused),
    ("rewriteBatchedInserts", Unused),
    ("prepareThreshold", Unused),
    ("preparedStatementCacheQueries", Unused),
    ("preparedStatementCacheSizeMiB", Unused),
    ("databaseMetadataCacheFields", Unused),
    ("databaseMetadataCacheFieldsMiB", Unused),
    ("preferQueryMode", Unused),
    ("stringtype", Unused),
    ("defaultRowFetchSize", Unused),
    ("adaptiveFetch", Unused),
    ("adaptiveFetchMinimum", Unused),
    ("adaptiveFetchMaximum", Unused),
    ("maxResultBuffer", Unused),
    ("batchsize", Unused),
    ("binaryTransfer", Unused),
    ("binaryTransferEnable", Unused),
    ("binaryTransferDisable", Unused),
    ("disableColumnSanitiser", Unused),
    ("allowEncodingChanges", Unused),
    ("logUnclosedConnections", Unused),
    ("logServerErrorDetail", Unused),
    ("loggerLevel", Unused),
    ("loggerFile", Unused),
    ("unknownLength", Unused),
    ("escapeSyntaxCallMode", Unused),
    ("cleanupSavepoints", Unused),
    ("flushCacheOnDdl", Unused),
    ("groupStartupParameters", Unused),
    ("hideUnprivilegedObjects", Unused),
    ("quoteReturningIdentifiers", Unused),
    ("assumeMinServerVersion", Unused),
    ("protocolVersion", Unused),
    ("compatible", Unused),
    ("replication", Unused),
    ("socketFactory", Unused),
    ("socketFactoryArg", Unused),
    ("xmlFactoryFactory", Unused),
    ("useSpnego", Unused),
    ("gsslib", Unused),
    ("krbsrvname", Unused),
    ("kerberosServerName", Unused),
    ("jaasApplicationName", Unused),
    ("jaasLogin", Unused),
    ("sspiServiceClass", Unused),
    ("driver", Unused),
    ("stringType", Unused),
    // What would be weakened by ignoring it.
    ("hostaddr", Missing),
    ("passfile", Missing),
    ("service", Missing),
    ("servicefile", Missing),
    ("sslpassword", Missing),
    ("sslpasswordcallback", Missing),
    ("sslcertmode", Missing),
    ("sslcrl", Missing),
    ("sslcrldir", Missing),
    ("ssl_max_protocol_version", Missing),
    ("requirepeer", Missing),
    ("require_auth", Missing),
    ("requireAuth", Missing),
    ("authenticationPluginClassName", Missing),
];

/// Parameters that mean something only together.
#[derive(Debug, Default)]
pub(super) struct Given {
    hosts: Option<String>,
    ports: Option<String>,
    is_ssl: bool,
    trusts_all: bool,
    unused: Vec<&'static str>,
    our_own: Vec<&'static str>,
}

/// Takes one parameter in. A fault repeats an unknown `name` only if it is `quotable`: no piece of a password.
pub(super) fn take(
    name: &str,
    value: String,
    quotable: bool,
    given: &mut Given,
    parts: &mut Parts,
) -> Result<(), AddressFault> {
    let Some(&(name, meaning)) = NAMES.iter().find(|(known, _)| *known == name) else {
        return Err(unknown(name, quotable));
    };
    match meaning {
        // pgjdbc takes an empty value as an absent one.
        Unused => given.unused.push(name),
        OurOwn => given.our_own.push(name),
        Missing => {
            let what = format!("asks for {name}, which is not offered here");
            return Err(AddressFault::new(
                what,
                "leave it out; docs/postgresql.md says what there is instead",
            ));
        }
        _ if value.is_empty() && meaning != Ssl => {}
        User => parts.user = Some(value),
        Password => parts.password = Some(Secret::new(value)),
        Database => parts.database = Some(value),
        Hosts => given.hosts = Some(value),
        Ports => given.ports = Some(value),
        Meaning::SslMode => parts.ssl_mode = Some(word(name, &value, &SslMode::WORDS)?),
        Ssl => given.is_ssl = word(name, &value, &[("true", true), ("false", false), ("", true)])?,
        SslFactory => given.trusts_all = value.ends_with("NonValidatingFactory"),
        RootCert => parts.root_cert = Some(PathBuf::from(value)),
        Certificate => parts.certificate = Some(PathBuf::from(value)),
        Key => parts.key = Some(PathBuf::from(value)),
        Schema => parts.schema = Some(value),
        Options => parts.options = Some(value),
        Name => parts.application_name = Some(value),
        ConnectTimeout => parts.connect_timeout = seconds(name, &value)?,
        Meaning::Target => parts.target = Some(word(name, &value, TARGETS)?),
        Meaning::ChannelBinding => parts.channel_binding = Some(word(name, &value, BINDINGS)?),
        Encoding => {
            if !["utf8", "utf-8", "unicode", "auto"].iter().any(|known| value.eq_ignore_ascii_case(known)) {
                return Err(AddressFault::new(format!("asks for another {name} than UTF8"), "leave it out"));
            }
        }
    }
    Ok(())
}

const TARGETS: &[(&str, Target)] = &[
    ("any", Target::Any),
    ("read-write", Target::ReadWrite),
    ("primary", Target::ReadWrite),
    ("read-only", Target::ReadOnly),
    ("standby", Target::ReadOnly),
    ("prefer-standby", Target::Any),
    ("master", Target::ReadWrite),
    ("secondary", Target::ReadOnly),
    ("slave", Target::ReadOnly),
    ("preferPrimary", Target::Any),
    ("preferSecondary", Target::Any),
    ("preferSlave", Target::Any),
];

const BINDINGS: &[(&str, ChannelBinding)] = &[
    ("disable", ChannelBinding::Disable),
    ("prefer", ChannelBinding::Prefer),
    ("require", ChannelBinding::Require),
];

impl Given {
    /// Judges what only means something together.
    pub(super) fn settle(self, parts: &mut Parts) -> Result<(), AddressFault> {
        if parts.ssl_mode.is_none() && self.is_ssl {
            // pgjdbc: `ssl=true` verifies all, unless the factory named verifies nothing.
            let mode = if self.trusts_all { SslMode::Require } else { SslMode::VerifyFull };
            parts.ssl_mode = Some(mode);
        }
        let ports = self.ports.map(|ports| ports.split(',').map(port_of).collect::<Result<Vec<_>, _>>());
        let ports = ports.transpose()?.unwrap_or_default();
        if let Some(hosts) = self.hosts {
            let names: Vec<&str> = hosts.split(',').map(str::trim).collect();
            if ports.len() > 1 && ports.len() != names.len() {
                return Err(AddressFault::new(
                    "names other numbers of hosts and ports",
                    "give each host a port",
                ));
            }
            let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(super::PORT);
            let hosts = names.iter().enumerate().map(|(at, name)| checked_host(name, port(at)));
            parts.hosts = hosts.collect::<Result<_, _>>()?;
        } else if let Some(port) = ports.first() {
            parts.port = Some(*port);
            for host in &mut parts.hosts {
                match host {
                    super::Host::Tcp(_, own) | super::Host::Socket(_, own) => *own = *port,
                }
            }
        }
        let list = |names: &[&str]| names.join(", ");
        if !self.unused.is_empty() {
            parts.notes.push(format!("without effect here: {}", list(&self.unused)));
        }
        if !self.our_own.is_empty() {
            parts.notes.push(format!("without effect, telemetra sets its own: {}", list(&self.our_own)));
        }
        Ok(())
    }
}

fn word<T: Copy>(name: &str, value: &str, choices: &[(&str, T)]) -> Result<T, AddressFault> {
    let found = choices.iter().find(|(known, _)| known.eq_ignore_ascii_case(value.trim()));
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let words: Vec<&str> =
            choices.iter().map(|(word, _)| *word).filter(|word| !word.is_empty()).collect();
        AddressFault::new(format!("has a {name} that does not exist"), format!("choose {}", words.join(", ")))
    })
}

/// Whole seconds; 0, which means for ever elsewhere, is the default here.
fn seconds(name: &str, value: &str) -> Result<Option<Duration>, AddressFault> {
    match value.trim().parse::<u64>() {
        Ok(0) => Ok(None),
        Ok(seconds) if CONNECT_TIMEOUT_S.contains(&seconds) => Ok(Some(Duration::from_secs(seconds))),
        _ => {
            let (from, to) = (CONNECT_TIMEOUT_S.start(), CONNECT_TIMEOUT_S.end());
            let what = format!("has a {name} that is no number of seconds");
            Err(AddressFault::new(what, format!("choose from {from} to {to}")))
        }
    }
}

fn unknown(name: &str, quotable: bool) -> AddressFault {
    let is_plain = name.len() <= 40 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !quotable || !is_plain || name.is_empty() {
        let what = "has a parameter that does not exist";
        return AddressFault::new(
            what,
            "parameters follow `?` as name=value; `&` and `?` in a value are %26 and %3F",
        );
    }
    let what = format!("has a parameter `{name}`, which does not exist");
    let near = NAMES.iter().map(|(known, _)| (distance(name, known), *known));
    let near = near.filter(|(far, _)| *far <= 1 + name.len() / 4).min();
    match near {
        Some((_, known)) => AddressFault::new(what, format!("did you mean {known}?")),
        None => AddressFault::new(what, "leave it out; docs/postgresql.md lists the parameters"),
    }
}

/// Levenshtein's distance, in bytes, whatever the case.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let cost = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
