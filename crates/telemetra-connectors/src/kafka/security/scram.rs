//! SCRAM (RFC 5802, RFC 7677) without channel binding: what is said and what must be answered. No I/O.
//!
//! ```text
//! we      n,,n=USER,r=NONCE
//! broker  r=NONCE…,s=SALT,i=ITERATIONS
//! we      c=biws,r=NONCE…,p=PROOF
//! broker  v=SIGNATURE                     only who knows the password's hash can write it
//! ```
//! Names and passwords are taken as their UTF-8 bytes, as Kafka does, without RFC 4013's preparation.

use std::num::NonZeroU32;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ring::{
    digest, hmac, pbkdf2,
    rand::{SecureRandom, SystemRandom},
};
use zeroize::Zeroizing;

/// Fewer iterations make the password easy to guess for whoever sees the proof: RFC 7677 and Kafka demand these.
const ITERATIONS_MIN: u32 = 4_096;
/// More would keep us busy for seconds: Kafka's own limit.
const ITERATIONS_MAX: u32 = 1_000_000;
/// Bytes of a nonce before it is text.
const NONCE: usize = 24;

/// A hash and what is built on it.
pub(super) struct Hash {
    digest: &'static digest::Algorithm,
    hmac: hmac::Algorithm,
    pbkdf2: pbkdf2::Algorithm,
}

pub(super) static SHA_256: Hash =
    Hash { digest: &digest::SHA256, hmac: hmac::HMAC_SHA256, pbkdf2: pbkdf2::PBKDF2_HMAC_SHA256 };
pub(super) static SHA_512: Hash =
    Hash { digest: &digest::SHA512, hmac: hmac::HMAC_SHA512, pbkdf2: pbkdf2::PBKDF2_HMAC_SHA512 };

/// A text that nobody could foresee.
///
/// # Errors
/// When the system has no random bytes.
pub(super) fn nonce() -> Result<String, String> {
    let mut bytes = [0; NONCE];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gives no random bytes".to_owned())?;
    Ok(BASE64.encode(bytes))
}

/// One exchange.
pub(super) struct Scram {
    hash: &'static Hash,
    nonce: String,
    /// The first message without its head.
    first: String,
}

/// What the broker must be able to write.
#[derive(Debug)]
pub(super) struct Expected {
    key: hmac::Key,
    said: String,
}

impl Scram {
    pub(super) fn new(hash: &'static Hash, user: &str, nonce: &str) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { hash, nonce: nonce.to_owned(), first: format!("n={user},r={nonce}") }
    }

    /// What is said first.
    pub(super) fn first(&self) -> String {
        format!("n,,{}", self.first)
    }

    /// What is said to the broker's `answer`, and what it must say then.
    ///
    /// # Errors
    /// What is wrong with the answer.
    pub(super) fn last(&self, answer: &[u8], password: &str) -> Result<(String, Expected), String> {
        let answer = str::from_utf8(answer).map_err(|_| "the broker's answer is no text".to_owned())?;
        let mut parts = answer.split(',');
        let mut part = |name: &str| {
            let found = parts.next().and_then(|part| part.strip_prefix(name));
            found.ok_or_else(|| format!("the broker's answer lacks `{name}`"))
        };
        let (nonce, salt, iterations) = (part("r=")?, part("s=")?, part("i=")?);
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the broker answers somebody else".into());
        }
        let salt = BASE64.decode(salt).map_err(|_| "the broker's salt is not readable".to_owned())?;
        let iterations = iterations.parse().ok().filter(|it| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(it));
        let iterations = iterations.and_then(NonZeroU32::new).ok_or_else(|| {
            format!("the broker asks for an unusual number of iterations: {ITERATIONS_MIN} to {ITERATIONS_MAX} are taken")
        })?;

        let Hash { digest: algorithm, hmac, pbkdf2 } = self.hash;
        let mut salted = Zeroizing::new(vec![0; algorithm.output_len()]);
        pbkdf2::derive(*pbkdf2, iterations, &salt, password.as_bytes(), &mut salted);
        let salted = hmac::Key::new(*hmac, &salted);
        let client_key = Zeroizing::new(hmac::sign(&salted, b"Client Key").as_ref().to_vec());
        let stored_key = digest::digest(algorithm, &client_key);
        let bare = format!("c=biws,r={nonce}");
        let said = format!("{},{answer},{bare}", self.first);
        let signature = hmac::sign(&hmac::Key::new(*hmac, stored_key.as_ref()), said.as_bytes());
        let proof: Vec<u8> =
            client_key.iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        let server_key = hmac::sign(&salted, b"Server Key");
        let key = hmac::Key::new(*hmac, server_key.as_ref());
        Ok((format!("{bare},p={}", BASE64.encode(proof)), Expected { key, said }))
    }
}

impl Expected {
    /// Whether the broker knows the password too.
    ///
    /// # Errors
    /// When it does not, or says why it refuses.
    pub(super) fn verify(&self, answer: &[u8]) -> Result<(), String> {
        if let Some(error) = answer.strip_prefix(b"e=") {
            return Err(format!("the broker says {}", String::from_utf8_lossy(error).escape_debug()));
        }
        let signature =
            answer.strip_prefix(b"v=").map(|rest| rest.split(|byte| *byte == b',').next().unwrap_or(rest));
        let signature = signature.and_then(|signature| BASE64.decode(signature).ok());
        let is_right = signature.is_some_and(|it| hmac::verify(&self.key, self.said.as_bytes(), &it).is_ok());
        if is_right {
            Ok(())
        } else {
            Err("the broker does not know the password itself: it may be an impostor".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const ANSWER: &[u8] =
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    #[test]
    fn the_example_of_rfc_7677_comes_out() {
        let scram = Scram::new(&SHA_256, "user", NONCE);
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (last, expected) = scram.last(ANSWER, "pencil").expect("a good answer");
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        expected.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").expect("it is the signature");
        for wrong in [&b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=="[..], b"v=", b"", b"e=invalid-proof"]
        {
            assert!(expected.verify(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn answers_that_are_none_or_would_weaken_it_are_refused() {
        let scram = Scram::new(&SHA_512, "a=b,c", NONCE);
        assert_eq!(scram.first(), "n,,n=a=3Db=2Cc,r=rOprNGfwEbeRWgbNEkqO");
        assert!(scram.last(ANSWER, "pencil").is_ok());
        for wrong in [
            &b""[..],
            b"\xff",
            b"e=unknown-user",
            b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            b"r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            b"r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095",
            b"r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1000001",
            b"r=rOprNGfwEbeRWgbNEkqOx,s=?,i=4096",
        ] {
            assert!(scram.last(wrong, "pencil").is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn no_nonce_comes_twice() {
        assert_ne!(nonce().expect("random bytes"), nonce().expect("random bytes"));
    }
}
