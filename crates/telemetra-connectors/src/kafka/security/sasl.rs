//! A login on a fresh connection: which mechanism, then its messages there and back.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::{
    error::ResponseError,
    messages::{SaslAuthenticateRequest, SaslHandshakeRequest},
    protocol::{StrBytes, VersionRange},
};

use super::{
    Login, Mechanism,
    scram::{self, Scram},
};
use crate::kafka::{connection::Connection, fault::Fault};

/// The only one by which messages go as Kafka requests.
const HANDSHAKE: VersionRange = VersionRange { min: 1, max: 1 };
/// With the session's lifetime.
const AUTHENTICATE: VersionRange = VersionRange { min: 1, max: 2 };

/// Proves to the broker who comes. Returns how long it will believe that; `None` for ever.
///
/// # Errors
/// `Halt` when the broker does not believe it, or cannot prove that it knows the password itself.
pub(in crate::kafka) fn log_in(
    connection: &mut Connection,
    login: &Login,
) -> Result<Option<Duration>, Fault> {
    let mechanism = login.mechanism.name();
    let request = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
    let response = connection.call(&request, HANDSHAKE)?;
    let place = connection.place().to_owned();
    match ResponseError::try_from_code(response.error_code) {
        None => {}
        Some(ResponseError::UnsupportedSaslMechanism) => {
            let known: Vec<&str> = response.mechanisms.iter().map(|it| &**it).collect();
            return Err(Fault::Halt(format!(
                "{place} does not know the mechanism {mechanism} but {}: name one of them in KAFKA_SASL_MECHANISM",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            )));
        }
        Some(ResponseError::IllegalSaslState) => {
            return Err(Fault::Halt(format!(
                "{place} asks for no login at this port: set KAFKA_SECURITY_PROTOCOL to PLAINTEXT or SSL, or name \
                 another port"
            )));
        }
        Some(code) => return Err(Fault::Refused { place, what: "a login".into(), code }),
    }
    match login.mechanism {
        Mechanism::Plain => {
            let message = ["", login.user.as_str(), login.password.expose()].join("\0");
            let (_, lifetime) = say(connection, login, message.into_bytes())?;
            Ok(lifetime)
        }
        Mechanism::ScramSha256 => by_scram(connection, login, &scram::SHA_256),
        Mechanism::ScramSha512 => by_scram(connection, login, &scram::SHA_512),
    }
}

fn by_scram(
    connection: &mut Connection,
    login: &Login,
    hash: &'static scram::Hash,
) -> Result<Option<Duration>, Fault> {
    let wrong =
        |place: &str, what: String| Fault::Halt(format!("{place}: no login as {}: {what}", login.user));
    let place = connection.place().to_owned();
    let nonce = scram::nonce().map_err(|what| wrong(&place, what))?;
    let scram = Scram::new(hash, &login.user, &nonce);
    let (first, _) = say(connection, login, scram.first().into_bytes())?;
    let (last, expected) = scram.last(&first, login.password.expose()).map_err(|what| wrong(&place, what))?;
    let (proof, lifetime) = say(connection, login, last.into_bytes())?;
    expected.verify(&proof).map_err(|what| wrong(&place, what))?;
    Ok(lifetime)
}

/// Sends one message and returns the answer, and how long the session lasts once it has begun.
fn say(
    connection: &mut Connection,
    login: &Login,
    message: Vec<u8>,
) -> Result<(Bytes, Option<Duration>), Fault> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(message.into());
    let response = connection.call(&request, AUTHENTICATE)?;
    if let Some(code) = ResponseError::try_from_code(response.error_code) {
        let place = connection.place();
        // Its words come from the broker's code: they repeat no password.
        let said = response
            .error_message
            .as_ref()
            .map_or_else(|| code.to_string(), |text| text.chars().take(300).collect());
        return Err(Fault::Halt(format!(
            "{place} refused the login as {}: {said}: correct KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD, and \
             KAFKA_SASL_MECHANISM if the user is another one's",
            login.user
        )));
    }
    let lifetime = u64::try_from(response.session_lifetime_ms).ok().filter(|&ms| ms > 0);
    Ok((response.auth_bytes, lifetime.map(Duration::from_millis)))
}
