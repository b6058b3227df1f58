//! Kafka: whether it is read or written, which brokers and topics, and how they are reached.
//!
//! | named | chat reads | commerce reads |
//! |---|---|---|
//! | brokers by flag or file | Kafka | Kafka |
//! | brokers by the environment alone | Kafka, unless a folder is named | Kafka if a topic is named, else its folder |
//! | brokers by flag or file, and a folder | nothing: a fault | nothing: a fault |
//!
//! KAFKA_BOOTSTRAP_SERVERS is often there for others, and the old commerce job read folders whatever it said. The
//! generators write to Kafka if `--kafka` says so, and never because of the environment.

mod read;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, time::Duration};

use telemetra_connectors::{
    Identity, Roots, Secret,
    kafka::{Address, Login, Mechanism, Security, StartAt, Tls},
};

use super::{
    fault::{Fault, Origin},
    layers::Raw,
    parse, secret,
    validate::{Judge, Purpose},
};

const WAIT_MS: std::ops::RangeInclusive<i64> = 0..=24 * 3_600_000;
/// Topics unless others are named.
const CHAT_TOPIC: &str = "telemetra.events.chat";
const VIEWER_TOPIC: &str = "telemetra.events.viewer";
const COMMERCE_TOPIC: &str = "telemetra.events.commerce";

/// Kafka's word for a protocol, whether it is encrypted, whether somebody logs in.
const PROTOCOLS: [(&str, (bool, bool)); 4] = [
    ("PLAINTEXT", (false, false)),
    ("SSL", (true, false)),
    ("SASL_PLAINTEXT", (false, true)),
    ("SASL_SSL", (true, true)),
];

/// Kafka as input or output. Topics that are not of the command's pipeline are `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Brokers to begin with; never empty.
    pub bootstrap: Vec<Address>,
    /// How they are reached.
    pub security: Security,
    /// Chat events; `None` if the user wants none read.
    pub chat_topic: Option<TopicName>,
    /// Viewer events; likewise.
    pub viewer_topic: Option<TopicName>,
    /// Shop events.
    pub commerce_topic: Option<TopicName>,
    /// Where a new job begins.
    pub start_at: StartAt,
    /// How long brokers that are away at the start are tried every two seconds, before the pauses grow.
    pub wait: Duration,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicName {
    /// Its name.
    pub name: String,
    /// Whether the user named it; a default one need not exist.
    pub is_named: bool,
}

impl Judge {
    /// Kafka, if this command reads or writes it; faults if it is asked for in vain or beside folders.
    pub(super) fn kafka(&mut self, purpose: Purpose) -> Option<KafkaSettings> {
        let is_meant = match purpose {
            Purpose::Chat => self.chat_means_kafka(),
            Purpose::Commerce => self.commerce_means_kafka(),
            Purpose::GenerateChat | Purpose::GenerateCommerce => self.by_flag("kafka"),
            Purpose::Plain | Purpose::Store | Purpose::Demo => false,
        };
        if !is_meant {
            self.in_vain(purpose);
            return None;
        }
        let is_read = matches!(purpose, Purpose::Chat | Purpose::Commerce);
        let faults_before = self.faults.len();
        let bootstrap = self.get("kafka", read::bootstrap).unwrap_or_default();
        let mut kafka = KafkaSettings {
            security: self.security(),
            chat_topic: None,
            viewer_topic: None,
            commerce_topic: None,
            // Where a run begins is nothing to whoever writes.
            start_at: if is_read { self.start_at() } else { StartAt::default() },
            wait: self.get("wait", |text| parse::duration(text, WAIT_MS)).unwrap_or_default(),
            bootstrap,
        };
        match purpose {
            Purpose::Commerce | Purpose::GenerateCommerce => {
                kafka.commerce_topic = self.topic("topic", COMMERCE_TOPIC);
                if kafka.commerce_topic.is_none()
                    && self.values.get("topic").is_some_and(|it| it.text.trim() == "none")
                {
                    self.fault("topic", "leaves nothing to read", "name a topic");
                }
            }
            _ => self.chat_topics(&mut kafka),
        }
        if self.faults.len() == faults_before {
            self.only_topics_of(&kafka);
            self.notes.extend(kafka.security.notes(&kafka.bootstrap));
        }
        Some(kafka)
    }

    fn origin(&self, key: &str) -> Option<&Origin> {
        self.values.get(key).map(|raw| &raw.origin)
    }

    fn by_flag(&self, key: &str) -> bool {
        matches!(self.origin(key), Some(Origin::Flag(_)))
    }

    /// Whether it was written for telemetra, and not only stands in the environment.
    fn is_deliberate(&self, key: &str) -> bool {
        matches!(self.origin(key), Some(Origin::Flag(_) | Origin::File { .. }))
    }

    fn chat_means_kafka(&mut self) -> bool {
        let folder = ["chat_dir", "viewer_dir"].into_iter().find(|key| self.values.contains_key(*key));
        match (self.values.contains_key("kafka"), folder) {
            (false, None) => {
                let topic = ["chat_topic", "viewer_topic"].iter().any(|key| self.values.contains_key(*key));
                if !topic {
                    self.faults.push(Fault {
                        origin: Origin::Flag("chat-dir".into()),
                        what: "no input is named".into(),
                        next: "name brokers, --kafka HOST:PORT, or folders, --chat-dir DIR, --viewer-dir DIR or \
                               both; `telemetra demo` needs none"
                            .into(),
                    });
                }
                false
            }
            (false, Some(_)) => false,
            (true, None) => true,
            (true, Some(folder)) => self.folder_beside(folder, "kafka"),
        }
    }

    fn commerce_means_kafka(&mut self) -> bool {
        if !self.values.contains_key("kafka") {
            return false;
        }
        let is_folder_named = !matches!(self.origin("input_dir"), None | Some(Origin::Default(_)));
        let asks = ["kafka", "topic"].into_iter().find(|key| self.is_deliberate(key));
        if is_folder_named {
            return self.folder_beside("input_dir", asks.unwrap_or("kafka"));
        }
        let is_meant = asks.is_some() || self.values.contains_key("topic");
        if !is_meant {
            let folder = self.values.get("input_dir").map_or("", |raw| raw.text.as_str());
            self.notes.push(format!(
                "KAFKA_BOOTSTRAP_SERVERS is not heeded: shop events are read from the folder {folder}, as the old job \
                 did; --kafka or --topic reads them from Kafka"
            ));
        }
        is_meant
    }

    /// A folder is named and brokers are, by `asks` if that is more than the environment. Returns whether Kafka is read.
    fn folder_beside(&mut self, folder: &str, asks: &str) -> bool {
        let shown = self.origin(folder).map(ToString::to_string).unwrap_or_default();
        if self.is_deliberate(asks) {
            let what = format!("asks for Kafka beside a folder ({shown})");
            self.fault(asks, &what, "name one of the two: Kafka and folders together cannot be read");
            // What else is wrong with Kafka is told too.
            return true;
        }
        self.notes.push(format!("KAFKA_BOOTSTRAP_SERVERS is not heeded: a folder is named ({shown})"));
        false
    }

    /// Kafka is not used: faults for what was asked of it nevertheless, beyond the environment.
    fn in_vain(&mut self, purpose: Purpose) {
        let keys: &[&str] = match purpose {
            Purpose::Chat => &["chat_topic", "viewer_topic", "start_at"],
            Purpose::Commerce => &["topic", "start_at"],
            Purpose::GenerateChat | Purpose::GenerateCommerce => &["chat_topic", "viewer_topic", "topic"],
            Purpose::Plain | Purpose::Store | Purpose::Demo => &[],
        };
        let is_generated = matches!(purpose, Purpose::GenerateChat | Purpose::GenerateCommerce);
        for key in keys {
            let is_asked = if is_generated { self.by_flag(key) } else { self.is_deliberate(key) };
            // Folders are read from their first file on anyway.
            let is_harmless =
                *key == "start_at" && self.values.get("start_at").is_some_and(|it| it.text == "earliest");
            if is_asked && !is_harmless {
                self.fault(
                    key,
                    "is of use with Kafka alone, and no brokers are named",
                    "name them: --kafka HOST:PORT",
                );
            }
        }
        // By the environment alone, and nothing else is named: what was meant is clear, what is missing as well.
        let in_environment =
            ["chat_topic", "viewer_topic"].into_iter().find(|key| self.values.contains_key(*key));
        let folders = ["kafka", "chat_dir", "viewer_dir"].iter().any(|key| self.values.contains_key(*key));
        if let (Purpose::Chat, Some(key), false) = (purpose, in_environment, folders)
            && !self.is_deliberate(key)
        {
            self.fault(key, "names a topic, and no brokers are named", "name them: --kafka HOST:PORT");
        }
    }

    fn topic(&mut self, key: &str, default: &str) -> Option<TopicName> {
        if !self.values.contains_key(key) {
            return Some(TopicName { name: default.to_owned(), is_named: false });
        }
        let name = self.get(key, read::topic)?;
        name.map(|name| TopicName { name, is_named: true })
    }

    fn chat_topics(&mut self, kafka: &mut KafkaSettings) {
        let faults_before = self.faults.len();
        kafka.chat_topic = self.topic("chat_topic", CHAT_TOPIC);
        kafka.viewer_topic = self.topic("viewer_topic", VIEWER_TOPIC);
        if self.faults.len() > faults_before {
            return;
        }
        let (chat, viewer) = (&kafka.chat_topic, &kafka.viewer_topic);
        if chat.is_none() && viewer.is_none() {
            self.fault("viewer_topic", "is none, as is the chat topic: nothing is left", "name one of them");
        } else if chat.as_ref().map(|it| &it.name) == viewer.as_ref().map(|it| &it.name) {
            self.fault("viewer_topic", "is the topic of chat events too", "give each input its own topic");
        }
    }

    fn start_at(&mut self) -> StartAt {
        let is_default = matches!(self.origin("start_at"), None | Some(Origin::Default(_)));
        let key = if is_default && self.values.contains_key("kafka_starting_offsets") {
            "kafka_starting_offsets"
        } else {
            if self.values.contains_key("kafka_starting_offsets") {
                self.notes.push(
                    "KAFKA_STARTING_OFFSETS is not heeded: --start-at, TELEMETRA_START_AT or start_at is set"
                        .into(),
                );
            }
            "start_at"
        };
        self.get(key, read::start_at).unwrap_or_default()
    }

    /// Faults for offsets of topics that are not read.
    fn only_topics_of(&mut self, kafka: &KafkaSettings) {
        let StartAt::Offsets(offsets) = &kafka.start_at else { return };
        let topics = [&kafka.chat_topic, &kafka.viewer_topic, &kafka.commerce_topic];
        let read: Vec<&str> = topics.into_iter().flatten().map(|topic| topic.name.as_str()).collect();
        let mut strange: Vec<&str> = offsets.keys().map(|(topic, _)| topic.as_str()).collect();
        strange.retain(|topic| !read.contains(topic));
        strange.dedup();
        if !strange.is_empty() {
            let is_default = matches!(self.origin("start_at"), None | Some(Origin::Default(_)));
            let key = if is_default { "kafka_starting_offsets" } else { "start_at" };
            let what = format!("names topics that are not read: {}", strange.join(", "));
            self.fault(key, &what, &format!("name those that are: {}", read.join(", ")));
        }
    }

    fn security(&mut self) -> Security {
        let protocol = self.get("kafka_security_protocol", |text| parse::word(text, &PROTOCOLS));
        let (is_encrypted, has_login) = protocol.unwrap_or_default();
        let tls = ["kafka_ssl_ca_location", "kafka_ssl_certificate_location", "kafka_ssl_key_location"];
        let login = ["kafka_sasl_username", "kafka_sasl_password", "kafka_sasl_password_file"];
        if protocol.is_some() {
            self.note_unheeded(&tls, is_encrypted, "SSL or SASL_SSL");
            self.note_unheeded(&login, has_login, "SASL_SSL or SASL_PLAINTEXT");
        }
        Security { tls: is_encrypted.then(|| self.tls()), login: if has_login { self.login() } else { None } }
    }

    fn note_unheeded(&mut self, keys: &[&str], is_heeded: bool, protocols: &str) {
        let named = keys.iter().filter_map(|key| self.origin(key)).map(ToString::to_string);
        let named: Vec<String> = named.collect();
        if !is_heeded && !named.is_empty() {
            self.notes.push(format!(
                "not heeded: {}; KAFKA_SECURITY_PROTOCOL would have to be {protocols}",
                named.join(", ")
            ));
        }
    }

    fn tls(&mut self) -> Tls {
        let roots = self.get("kafka_ssl_ca_location", read::file).map_or(Roots::System, Roots::File);
        let certificate: Option<PathBuf> = self.get("kafka_ssl_certificate_location", read::file);
        let key: Option<PathBuf> = self.get("kafka_ssl_key_location", read::file);
        if certificate.is_none()
            && key.is_some()
            && !self.values.contains_key("kafka_ssl_certificate_location")
        {
            self.fault(
                "kafka_ssl_key_location",
                "is a key without a certificate",
                "name the certificate in KAFKA_SSL_CERTIFICATE_LOCATION",
            );
        }
        // One file may hold both.
        let identity = certificate
            .map(|certificate| Identity { key: key.unwrap_or_else(|| certificate.clone()), certificate });
        Tls { roots, identity }
    }

    fn login(&mut self) -> Option<Login> {
        let mechanism = self.get("kafka_sasl_mechanism", |text| parse::word(text, &Mechanism::WORDS));
        let user = self.get("kafka_sasl_username", read::plain);
        let password = self.kafka_password();
        if !self.values.contains_key("kafka_sasl_username") {
            self.fault(
                "kafka_security_protocol",
                "wants a login, and no user is named",
                "set KAFKA_SASL_USERNAME",
            );
        }
        let keys = ["kafka_sasl_password", "kafka_sasl_password_file"];
        if !keys.iter().any(|key| self.values.contains_key(*key)) {
            let next = "set KAFKA_SASL_PASSWORD_FILE or KAFKA_SASL_PASSWORD";
            self.fault("kafka_security_protocol", "wants a login, and no password is named", next);
        }
        Some(Login { mechanism: mechanism?, user: user?, password: password? })
    }

    /// The password: its file beats the environment.
    fn kafka_password(&mut self) -> Option<Secret> {
        let plain = self.values.get("kafka_sasl_password").cloned();
        if self.values.contains_key("kafka_sasl_password_file") {
            if plain.is_some() {
                self.notes.push("KAFKA_SASL_PASSWORD is not heeded: KAFKA_SASL_PASSWORD_FILE is set".into());
            }
            return self.get("kafka_sasl_password_file", secret::read).map(Secret::new);
        }
        let Raw { text, origin } = plain?;
        if let Origin::File { path, .. } = &origin {
            self.demand_private(path, &origin);
        }
        Some(Secret::new(text))
    }
}
