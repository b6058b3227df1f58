//! Whose certificate is good enough, by libpq's rules.
//!
//! | sslmode | encrypted | chain verified | name verified |
//! |---|---|---|---|
//! | prefer | if the server can | if a CA file is named | no |
//! | require | yes | if a CA file is named | no |
//! | verify-ca | yes | yes | no |
//! | verify-full | yes | yes | yes |

use std::io;

use rustls::Error;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Protection, SslMode};
use crate::tls::{self, Demand, Identity, Roots, Words};

const WORDS: Words = Words {
    roots: "sslrootcert",
    identity: "sslcert and sslkey",
    or_no_name: ", or choose sslmode=verify-ca",
};

/// Makes connections as `protection` demands; reads its files anew, so that renewed ones are taken up.
///
/// # Errors
/// Which file is missing, unreadable or without what it should hold, in words.
pub(super) fn connector(protection: &Protection) -> Result<MakeRustlsConnect, String> {
    let demand = match (protection.mode, &protection.roots) {
        (SslMode::VerifyFull, _) => Demand::ChainAndName,
        (SslMode::VerifyCa, _) | (_, Roots::File(_)) => Demand::Chain,
        _ => Demand::Nothing,
    };
    let identity = match (&protection.certificate, &protection.key) {
        (Some(certificate), Some(key)) => {
            Some(Identity { certificate: certificate.clone(), key: key.clone() })
        }
        _ => None,
    };
    let mut config = tls::client_config(demand, &protection.roots, identity.as_ref(), &WORDS)?;
    // What libpq 17 says too: no other protocol's server is taken for PostgreSQL's.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(MakeRustlsConnect::new(config))
}

/// What rustls found wrong, if an error of the connection stems from it.
pub(super) fn cause(error: &tokio_postgres::Error) -> Option<&Error> {
    let io = std::error::Error::source(error)?.downcast_ref::<io::Error>()?;
    io.get_ref()?.downcast_ref()
}

/// A failed handshake as a sentence with the way on; `host` is the name that was asked for.
pub(super) fn explained(error: &Error, host: &str, protection: &Protection) -> String {
    tls::explained(error, host, &protection.roots, &WORDS)
}

#[cfg(test)]
mod tests;
