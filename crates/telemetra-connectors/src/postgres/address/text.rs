//! Addresses as text: `postgres://` and `postgresql://` as libpq reads them, `jdbc:postgresql:` as pgjdbc does.
//!
//! ```text
//! postgres://user:password@host:port,host:port/database?name=value&name=value
//! jdbc:postgresql://host:port,host:port/database?user=…&password=…
//! jdbc:postgresql:database
//! ```
//!
//! Where they differ: pgjdbc writes blanks as `+` in parameters. A password with a raw `@` is read to the last
//! one; `/`, `?` and `%` in it must be percent-encoded, and a fault about what such a password tears apart
//! repeats none of it.

use std::{net::Ipv6Addr, path::PathBuf};

use super::{AddressFault, Host, PORT, Parts, parameter};
use crate::postgres::Secret;

/// Longest address, bytes.
const ADDRESS_BYTES_MAX: usize = 16 << 10;

const SHAPE: &str = "write postgres://USER@HOST:PORT/DATABASE or jdbc:postgresql://HOST:PORT/DATABASE; in names \
                     and passwords write `/` as %2F, `?` as %3F, `@` as %40 and `%` as %25";

/// Whose rules an address is read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Libpq,
    Jdbc,
}

/// The dialect and what follows it; `None` if `text` is no address of PostgreSQL's.
pub(super) fn scheme(text: &str) -> Option<(Dialect, &str)> {
    let text = text.trim();
    let (head, rest) = text.split_once(':')?;
    match head.to_ascii_lowercase().as_str() {
        "postgres" | "postgresql" => Some((Dialect::Libpq, rest)),
        "jdbc" => {
            let (head, rest) = rest.split_once(':')?;
            let is_ours = ["postgresql", "postgres"].iter().any(|name| head.eq_ignore_ascii_case(name));
            is_ours.then_some((Dialect::Jdbc, rest))
        }
        _ => None,
    }
}

/// Reads an address.
///
/// # Errors
/// What is wrong and the way on, without the password.
pub(super) fn read(text: &str) -> Result<Parts, AddressFault> {
    if text.len() > ADDRESS_BYTES_MAX {
        return Err(AddressFault::new("is too long for an address", SHAPE));
    }
    let Some((dialect, rest)) = scheme(text) else {
        return Err(AddressFault::new("is no address of a PostgreSQL server", SHAPE));
    };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let mut parts = Parts::default();
    let has_at = |text: Option<&str>| text.is_some_and(|text| text.contains('@'));
    // In JDBC an `@` is common there (`user=me@corp`), and no password stands before it.
    if dialect == Dialect::Libpq && has_at(query) {
        let what = "holds an `@` after the first `?`; the password may hold a `?`";
        return Err(AddressFault::new(what, SHAPE));
    }
    match place.strip_prefix("//") {
        Some(place) => {
            let (authority, path) =
                place.split_once('/').map_or((place, None), |(authority, path)| (authority, Some(path)));
            // The last one: a password may hold others.
            let hosts = match authority.rsplit_once('@') {
                Some((user, hosts)) => {
                    read_user(user, &mut parts)?;
                    hosts
                }
                None => authority,
            };
            if has_at(path) {
                let what = "holds an `@` after the first `/`; the password may hold a `/`";
                return Err(AddressFault::new(what, SHAPE));
            }
            read_hosts(hosts, &mut parts)?;
            parts.database =
                path.map(|path| decoded(path, false)).transpose()?.filter(|name| !name.is_empty());
        }
        // jdbc:postgresql:database, jdbc:postgresql:/ and the like.
        None if dialect == Dialect::Jdbc => {
            let name = decoded(place.trim_start_matches('/'), false)?;
            if name.contains(['@', ':']) {
                return Err(AddressFault::new("has no `//` before its host", SHAPE));
            }
            parts.database = Some(name).filter(|name| !name.is_empty());
        }
        None => return Err(AddressFault::new("has no `//` before its host", SHAPE)),
    }
    // What looks like a name may be a piece of a password then, and is not repeated.
    let is_torn = has_at(query);
    read_query(query.unwrap_or_default(), dialect, is_torn, &mut parts)?;
    Ok(parts)
}

fn read_user(text: &str, parts: &mut Parts) -> Result<(), AddressFault> {
    let (user, password) =
        text.split_once(':').map_or((text, None), |(user, password)| (user, Some(password)));
    parts.user = Some(decoded(user, false)?).filter(|user| !user.is_empty());
    let password = password.map(|password| decoded(password, false)).transpose()?;
    parts.password = password.filter(|password| !password.is_empty()).map(Secret::new);
    Ok(())
}

/// Reads `host:port,[::1]:port`; no piece of it is repeated in a fault, a torn password may be there.
fn read_hosts(text: &str, parts: &mut Parts) -> Result<(), AddressFault> {
    if text.is_empty() {
        return Ok(());
    }
    for one in text.split(',') {
        let (name, port) = match one.strip_prefix('[') {
            Some(inner) => {
                let Some((name, after)) = inner.split_once(']') else {
                    return Err(AddressFault::new("has a `[` without `]`", SHAPE));
                };
                let port = if after.is_empty() { None } else { after.strip_prefix(':') };
                if name.parse::<Ipv6Addr>().is_err() || (!after.is_empty() && port.is_none()) {
                    return Err(AddressFault::new("has no IPv6 number between `[` and `]`", SHAPE));
                }
                (name.to_owned(), port)
            }
            None => {
                let (name, port) =
                    one.rsplit_once(':').map_or((one, None), |(name, port)| (name, Some(port)));
                (decoded(name, false)?, port)
            }
        };
        let port = match port {
            None | Some("") => PORT,
            Some(port) => port_of(port)?,
        };
        let name = if name.is_empty() { "localhost" } else { &name };
        parts.hosts.push(checked_host(name, port)?);
    }
    Ok(())
}

/// A port, 1 to 65535; the fault does not repeat it.
pub(super) fn port_of(text: &str) -> Result<u16, AddressFault> {
    text.parse().ok().filter(|&port| port > 0).ok_or_else(|| {
        let next = format!("a port is a number from 1 to 65535; {SHAPE}");
        AddressFault::new("has a port that is no port", next)
    })
}

/// A name or number of a machine, or the absolute path of a folder of sockets.
pub(super) fn checked_host(name: &str, port: u16) -> Result<Host, AddressFault> {
    if name.starts_with('/') {
        return Ok(Host::Socket(PathBuf::from(name), port));
    }
    let inside = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_name = (1..=253).contains(&name.len()) && name.chars().all(is_plain) && !name.starts_with('-');
    if is_name || inside.parse::<Ipv6Addr>().is_ok() {
        return Ok(Host::Tcp(inside.to_owned(), port));
    }
    let next = format!("a host is a name of letters, digits, `.`, `-` and `_`, or a number; {SHAPE}");
    Err(AddressFault::new("has a host that is no name", next))
}

fn read_query(query: &str, dialect: Dialect, is_torn: bool, parts: &mut Parts) -> Result<(), AddressFault> {
    let mut given = parameter::Given::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plus = dialect == Dialect::Jdbc;
        let value = decoded(value, plus)?;
        let name = decoded(name, plus)?;
        parameter::take(&name, value, !is_torn, &mut given, parts)?;
    }
    given.settle(parts)
}

/// `text` with `%XX` resolved, and `+` as a blank if `plus`.
pub(super) fn decoded(text: &str, plus: bool) -> Result<String, AddressFault> {
    let wrong = || AddressFault::new("holds a `%` that two hexadecimal digits do not follow", SHAPE);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
                u8::try_from(high * 16 + low).expect("two hexadecimal digits make a byte")
            }
            b'+' if plus => b' ',
            byte => byte,
        });
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        Ok(_) => Err(AddressFault::new("holds a NUL character", "leave %00 out")),
        Err(_) => Err(AddressFault::new("is not UTF-8", "encode it as UTF-8, then percent-encode it")),
    }
}

/// `text` with everything that means something in a URL percent-encoded.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
