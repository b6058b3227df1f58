//! How a broker and we prove to each other who we are.
//!
//! | part | question it answers |
//! |---|---|
//! | `link` | bytes to and from a broker, encrypted or not |
//! | `sasl` | a user's name and password, as the broker wants to hear them |
//! | `scram` | a proof of the password that does not tell it, and the broker's proof that it knows it too |
//!
//! | protocol | encrypted, name verified | user |
//! |---|---|---|
//! | PLAINTEXT | no | no |
//! | SSL | yes | by certificate, if one is named |
//! | SASL_PLAINTEXT | no | yes |
//! | SASL_SSL | yes | yes |
//!
//! Invariant: a password leaves by [`Secret::expose`] alone, to the broker whose certificate was judged before.

mod link;
mod sasl;
mod scram;

use std::net::IpAddr;

pub(super) use self::{
    link::{Link, explained},
    sasl::log_in,
};
use super::connection::Address;
use crate::{
    secret::Secret,
    tls::{Identity, Roots},
};

/// How connections to brokers are protected; without anything they are PLAINTEXT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Encrypted, and the broker's certificate judged.
    pub tls: Option<Tls>,
    /// Who logs in.
    pub login: Option<Login>,
}

/// Who may sign the brokers' certificates, and what we show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Authorities.
    pub roots: Roots,
    /// Our certificate, for brokers that ask for one.
    pub identity: Option<Identity>,
}

/// A user by SASL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// How it is proved.
    pub mechanism: Mechanism,
    /// Name.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// How a user is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The password itself is sent (RFC 4616).
    Plain,
    /// By SHA-256 (RFC 7677).
    ScramSha256,
    /// By SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// Kafka's words.
    pub const WORDS: [(&'static str, Mechanism); 3] = [
        ("PLAIN", Mechanism::Plain),
        ("SCRAM-SHA-256", Mechanism::ScramSha256),
        ("SCRAM-SHA-512", Mechanism::ScramSha512),
    ];

    /// Kafka's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Security {
    /// Kafka's word for the protocol.
    pub fn protocol(&self) -> &'static str {
        match (&self.tls, &self.login) {
            (None, None) => "PLAINTEXT",
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        }
    }

    /// What is allowed and should be known: a password that goes unencrypted to another machine.
    pub fn notes(&self, bootstrap: &[Address]) -> Vec<String> {
        let is_bare = self.tls.is_none()
            && self.login.as_ref().is_some_and(|login| login.mechanism == Mechanism::Plain);
        let away: Vec<String> =
            bootstrap.iter().filter(|it| !is_loopback(&it.host)).map(ToString::to_string).collect();
        if !is_bare || away.is_empty() {
            return Vec::new();
        }
        vec![format!(
            "Kafka: the password goes unencrypted to {}: SASL_SSL encrypts it, SCRAM does not tell it",
            away.join(", ")
        )]
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_clear_is_noted_where_others_can_hear_it() {
        let login = |mechanism| Some(Login { mechanism, user: "u".into(), password: Secret::new("canary") });
        let tls = || Some(Tls { roots: Roots::System, identity: None });
        let check = |security: Security, host: &str, protocol: &str, is_noted: bool| {
            let notes = security.notes(&[Address { host: host.into(), port: 9092 }]);
            assert_eq!((security.protocol(), notes.len()), (protocol, usize::from(is_noted)), "{host}");
            assert!(!format!("{security:?}{notes:?}").contains("canary"));
        };
        let plain = || login(Mechanism::Plain);
        check(Security::default(), "kafka", "PLAINTEXT", false);
        check(Security { tls: tls(), login: None }, "kafka", "SSL", false);
        check(Security { tls: tls(), login: plain() }, "kafka", "SASL_SSL", false);
        check(Security { tls: None, login: login(Mechanism::ScramSha256) }, "kafka", "SASL_PLAINTEXT", false);
        for (host, is_noted) in [("kafka", true), ("10.0.0.1", true), ("localhost", false), ("::1", false)] {
            check(Security { tls: None, login: plain() }, host, "SASL_PLAINTEXT", is_noted);
        }
    }
}
