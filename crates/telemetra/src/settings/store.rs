//! Which store, and how it is reached: one address from up to three places.
//!
//! `--store`, TELEMETRA_STORE or the file beat all; without them POSTGRES_URL_FILE, POSTGRES_URL or POSTGRES_HOST
//! choose PostgreSQL; else it is the default, an SQLite file. What an address leaves open is filled from the single
//! POSTGRES_* settings; its own words beat theirs. `demo` heeds `--store` alone.

use std::path::{Path, PathBuf};

use telemetra_connectors::postgres::{AddressFault, PORT, Parts, Secret, SslMode};

use super::{
    Place, Store,
    fault::{Fault, Origin},
    layers::Raw,
    parse::{self, Wrong},
    secret,
    validate::{Judge, Purpose},
};

const BOOL: &[(&str, bool)] =
    &[("true", true), ("false", false), ("yes", true), ("no", false), ("1", true), ("0", false)];

impl Judge {
    /// The store; what stands in for a wrong one is never used, since there is a fault then.
    pub(super) fn store(&mut self, purpose: Purpose) -> Store {
        let raw = self.values.get("store").cloned().expect("the store has a default");
        let opens = matches!(purpose, Purpose::Store | Purpose::Chat | Purpose::Commerce);
        let by_name =
            if opens && matches!(raw.origin, Origin::Default(_)) { self.postgres_by_name() } else { None };
        let (address, origin) = match by_name {
            Some((address, origin)) => (address, origin),
            None if Parts::is_meant(&raw.text) => {
                (self.read_address(&raw.text, &raw.origin), raw.origin.clone())
            }
            None => {
                let path = self.get("store", sqlite_path).unwrap_or_default();
                return Store { place: Place::Sqlite(path), origin: raw.origin };
            }
        };
        let others = if opens { self.single_parts() } else { Parts::default() };
        let address = address.and_then(|address| {
            let whole = address.or(others, "the POSTGRES_* settings").finish();
            whole.map_err(|fault| self.address_fault(&origin, fault)).ok()
        });
        let place = match address {
            Some(address) => {
                self.notes.extend(address.notes().iter().map(|note| format!("store: {note}")));
                Place::Postgres(Box::new(address))
            }
            None => Place::Sqlite(PathBuf::new()),
        };
        Store { place, origin }
    }

    /// The address by POSTGRES_URL_FILE, POSTGRES_URL or the wish for a host; `None` inside if it is wrong.
    fn postgres_by_name(&mut self) -> Option<(Option<Parts>, Origin)> {
        let raw = |key: &str| self.values.get(key).cloned();
        if let Some(Raw { origin, .. }) = raw("postgres_url_file") {
            if raw("postgres_url").is_some() {
                self.notes.push("POSTGRES_URL is not heeded: POSTGRES_URL_FILE is set".into());
            }
            let text = self.get("postgres_url_file", secret::read);
            let address = text.and_then(|text| self.read_address(text.trim(), &origin));
            return Some((address, origin));
        }
        if let Some(Raw { text, origin }) = raw("postgres_url") {
            return Some((self.read_address(&text, &origin), origin));
        }
        raw("postgres_host").map(|Raw { origin, .. }| (Some(Parts::default()), origin))
    }

    fn read_address(&mut self, text: &str, origin: &Origin) -> Option<Parts> {
        let parts = Parts::parse(text).map_err(|fault| self.address_fault(origin, fault)).ok()?;
        if parts.password.is_some() {
            match origin {
                Origin::Flag(name) => self.notes.push(format!(
                    "the password in --{name} shows in this machine's process list: name it in \
                     POSTGRES_PASSWORD_FILE instead"
                )),
                Origin::File { path, .. } => self.demand_private(path, origin),
                Origin::Env(_) | Origin::Default(_) => {}
            }
        }
        Some(parts)
    }

    /// What the single settings say.
    fn single_parts(&mut self) -> Parts {
        let port = self.get("postgres_port", |text| parse::number(text, 1..=u16::MAX));
        let hosts = self.get("postgres_host", |text| {
            Parts::hosts_of(text, port.unwrap_or(PORT)).map_err(|fault| (fault.what, fault.next))
        });
        Parts {
            hosts: hosts.unwrap_or_default(),
            database: self.get("postgres_db", plain),
            user: self.get("postgres_user", plain),
            password: self.password(),
            ssl_mode: self.get("postgres_ssl_mode", |text| parse::word(text, &SslMode::WORDS)),
            root_cert: self.get("postgres_ssl_root_cert", plain).map(PathBuf::from),
            certificate: self.get("postgres_ssl_cert", plain).map(PathBuf::from),
            key: self.get("postgres_ssl_key", plain).map(PathBuf::from),
            allow_clear_password: self
                .get("postgres_allow_clear_password", |text| parse::word(text, BOOL))
                .unwrap_or_default(),
            ..Parts::default()
        }
    }

    /// The password: its file beats the environment.
    fn password(&mut self) -> Option<Secret> {
        let plain = self.values.get("postgres_password").cloned();
        if self.values.contains_key("postgres_password_file") {
            if plain.is_some() {
                self.notes.push("POSTGRES_PASSWORD is not heeded: POSTGRES_PASSWORD_FILE is set".into());
            }
            return self.get("postgres_password_file", secret::read).map(Secret::new);
        }
        let Raw { text, origin } = plain?;
        if let Origin::File { path, .. } = &origin {
            self.demand_private(path, &origin);
        }
        Some(Secret::new(text))
    }

    pub(super) fn demand_private(&mut self, path: &Path, origin: &Origin) {
        if let Err((what, next)) = secret::demand_private(path) {
            self.faults.push(Fault { origin: origin.clone(), what, next });
        }
    }

    fn address_fault(&mut self, origin: &Origin, AddressFault { what, next }: AddressFault) {
        self.faults.push(Fault { origin: origin.clone(), what, next });
    }
}

fn plain(text: &str) -> Result<String, Wrong> {
    if text.contains('\0') {
        Err(("holds a NUL character".into(), "leave it out".into()))
    } else {
        Ok(text.to_owned())
    }
}

fn sqlite_path(text: &str) -> Result<PathBuf, Wrong> {
    let next = "write sqlite:PATH, postgres://USER@HOST/DATABASE or jdbc:postgresql://HOST/DATABASE";
    let text = text.trim();
    match text.strip_prefix("sqlite:") {
        Some("") => Err(("names no file".into(), next.into())),
        Some(path) => Ok(PathBuf::from(path)),
        // What follows may be an address with a password: it is not repeated.
        None => match text.split_once(':') {
            Some(_) => Err(("is no store: it begins with neither sqlite: nor postgres:".into(), next.into())),
            None if text.contains('@') => Err(("is no store".into(), next.into())),
            None => Err((format!("`{text}` is no store"), next.into())),
        },
    }
}

#[cfg(test)]
mod tests;
