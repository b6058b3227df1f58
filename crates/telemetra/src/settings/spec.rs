//! The table of all settings: one entry each, from which flags, environment names and TOML keys follow.
//!
//! A name that is not here does not exist: `layers` refuses it. `default.toml` holds the default of each.

/// Where a setting is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every command.
    Every,
    /// Commands that open the store.
    Store,
    /// As `Store`, but never a flag: the process list shows those to everybody.
    Secret,
    /// Commands that read input of either pipeline.
    Pipeline,
    /// Commands that read chat.
    Chat,
    /// Commands that read shop events.
    Commerce,
    /// Commands that speak to Kafka.
    Kafka,
    /// Commands that read Kafka.
    KafkaInput,
    /// Commands that read or write topics of chat.
    ChatTopics,
    /// Commands that read or write a topic of shop events.
    ShopTopic,
    /// Names of the old jobs that are accepted and have no effect; a start-up line says so.
    Accepted,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// TOML key; the flag is the same with dashes.
    pub key: &'static str,
    /// Environment variable.
    pub env: &'static str,
    /// Where it is of use.
    pub scope: Scope,
    /// What stands for the value in the help.
    pub value: &'static str,
    /// One line of help.
    pub help: &'static str,
}

const fn spec(
    scope: Scope,
    key: &'static str,
    env: &'static str,
    value: &'static str,
    help: &'static str,
) -> Spec {
    Spec { key, env, scope, value, help }
}

use Scope::{
    Accepted, Chat, ChatTopics, Commerce, Every, Kafka, KafkaInput, Pipeline, Secret, ShopTopic, Store,
};

/// Every setting.
#[rustfmt::skip]
pub const SPECS: &[Spec] = &[
    spec(Every, "log_level", "LOG_LEVEL", "LEVEL", "What is logged: error, warn, info, debug, trace"),
    spec(Every, "log_format", "TELEMETRA_LOG_FORMAT", "FORMAT", "How it is logged: text or json"),
    spec(Store, "store", "TELEMETRA_STORE", "STORE", "Where results are kept: sqlite:PATH, postgres://… or jdbc:postgresql://…"),
    spec(Store, "job", "TELEMETRA_JOB", "NAME", "Name of the job in the store; the pipeline's by default"),
    spec(Secret, "postgres_url", "POSTGRES_URL", "URL", "Address of PostgreSQL: postgres://… or jdbc:postgresql://…"),
    spec(Store, "postgres_url_file", "POSTGRES_URL_FILE", "FILE", "File that holds the address, readable by its owner alone"),
    spec(Store, "postgres_host", "POSTGRES_HOST", "HOST", "Host of PostgreSQL, or a folder of sockets"),
    spec(Store, "postgres_port", "POSTGRES_PORT", "PORT", "Its port; 5432 by default"),
    spec(Store, "postgres_db", "POSTGRES_DB", "NAME", "The database; named as the user by default"),
    spec(Store, "postgres_user", "POSTGRES_USER", "NAME", "The role to log in as; the system's user by default"),
    spec(Secret, "postgres_password", "POSTGRES_PASSWORD", "SECRET", "Its password"),
    spec(Store, "postgres_password_file", "POSTGRES_PASSWORD_FILE", "FILE", "File that holds it, readable by its owner alone"),
    spec(Store, "postgres_ssl_mode", "POSTGRES_SSL_MODE", "MODE", "disable, allow, prefer, require, verify-ca or verify-full"),
    spec(Store, "postgres_ssl_root_cert", "POSTGRES_SSL_ROOT_CERT", "FILE", "Certificate authorities to trust, PEM; the system's by default"),
    spec(Store, "postgres_ssl_cert", "POSTGRES_SSL_CERT", "FILE", "Our certificate, PEM, for servers that ask for one"),
    spec(Store, "postgres_ssl_key", "POSTGRES_SSL_KEY", "FILE", "Its key"),
    spec(Store, "postgres_allow_clear_password", "POSTGRES_ALLOW_CLEAR_PASSWORD", "BOOL", "Send the password unencrypted to another machine: true or false"),
    spec(Chat, "chat_dir", "TELEMETRA_CHAT_DIR", "DIR", "Folder of chat events: JSON Lines, also .gz and .zst"),
    spec(Chat, "viewer_dir", "TELEMETRA_VIEWER_DIR", "DIR", "Folder of viewer events"),
    spec(Chat, "folder_order", "TELEMETRA_FOLDER_ORDER", "ORDER", "Order in which files are read: name or event-time"),
    spec(Chat, "late_files", "TELEMETRA_LATE_FILES", "WHAT", "A file most of whose events would be late: halt or keep"),
    spec(Commerce, "input_dir", "TELEMETRA_INPUT_DIR", "DIR", "Folder of shop events: CSV, also .gz and .zst"),
    spec(Commerce, "processed_dir", "TELEMETRA_PROCESSED_DIR", "DIR", "Folder that files are moved to once all of it is committed"),
    spec(Commerce, "error_dir", "TELEMETRA_ERROR_DIR", "DIR", "Folder of refused records, exported from quarantine"),
    spec(Commerce, "log_dir", "TELEMETRA_LOG_DIR", "DIR", "Folder of streaming_metrics.log, one JSON line a batch"),
    spec(Commerce, "event_timezone", "EVENT_TIMEZONE", "ZONE", "Time zone of shop events that name none, such as Europe/Berlin"),
    spec(Pipeline, "arrival", "TELEMETRA_ARRIVAL", "HOW", "How files get into a folder: settle or rename"),
    spec(Pipeline, "on_gap", "TELEMETRA_ON_GAP", "WHAT", "Records that the source no longer holds: halt or record"),
    spec(Chat, "window_duration", "WINDOW_DURATION", "TIME", "Length of a window"),
    spec(Chat, "slide_duration", "SLIDE_DURATION", "TIME", "Distance from one window to the next"),
    spec(Chat, "watermark_delay", "WATERMARK_DELAY", "TIME", "How much later than others an event may come"),
    spec(Chat, "max_future_skew", "MAX_FUTURE_SKEW", "TIME", "How far ahead of the clock an event may be stamped"),
    spec(Chat, "idle_timeout", "IDLE_TIMEOUT", "TIME", "Silence after which a partition holds nobody up"),
    spec(Chat, "anomaly_threshold", "ANOMALY_THRESHOLD", "Z", "z-score above which a window is a moment"),
    spec(Chat, "sentiment_tokenizer", "SENTIMENT_TOKENIZER", "HOW", "How a message is cut: words or whitespace"),
    spec(Chat, "sentiment_lexicon", "SENTIMENT_LEXICON", "FILE", "Words with weights in place of the built-in lists"),
    spec(Pipeline, "trigger_interval", "TRIGGER_INTERVAL", "TIME", "Pause once everything has been read"),
    spec(Pipeline, "max_records_per_trigger", "MAX_OFFSETS_PER_TRIGGER", "N", "Records in one batch, or none for no cap"),
    spec(Chat, "provisional_rows_max", "PROVISIONAL_ROWS_MAX", "N", "Rows of open windows that one batch writes"),
    spec(Chat, "replay_records_max", "REPLAY_RECORDS_MAX", "N", "Most records to read again after a restart"),
    spec(Pipeline, "retry_delay_seconds", "RETRY_DELAY_SECONDS", "SECONDS", "First pause before a failed step is tried again"),
    spec(Pipeline, "workers", "TELEMETRA_WORKERS", "N", "Threads that read and fold, or auto"),
    spec(Chat, "open_bytes_max", "TELEMETRA_OPEN_BYTES_MAX", "SIZE", "Memory that open windows may take"),
    spec(Pipeline, "http", "TELEMETRA_HTTP", "ADDR", "Loopback address at which the page is served"),
    spec(Kafka, "kafka", "KAFKA_BOOTSTRAP_SERVERS", "HOST:PORT", "Brokers to begin with, commas between; the port is 9092 by default"),
    spec(ChatTopics, "chat_topic", "TELEMETRA_CHAT_TOPIC", "TOPIC", "Topic of chat events, or none; telemetra.events.chat by default"),
    spec(ChatTopics, "viewer_topic", "TELEMETRA_VIEWER_TOPIC", "TOPIC", "Topic of viewer events, or none; telemetra.events.viewer by default, also if --chat-topic names another one"),
    spec(ShopTopic, "topic", "TELEMETRA_TOPIC", "TOPIC", "Topic of shop events; telemetra.events.commerce by default"),
    spec(KafkaInput, "start_at", "TELEMETRA_START_AT", "WHERE", "Where a new job begins: earliest, latest, an instant, or TOPIC:PARTITION=OFFSET,…"),
    spec(KafkaInput, "kafka_starting_offsets", "KAFKA_STARTING_OFFSETS", "WHERE", "The same by the old job's name; also Spark's JSON"),
    spec(KafkaInput, "wait", "TELEMETRA_WAIT", "TIME", "How long brokers that are away at the start are tried every 2 seconds; then the pauses grow"),
    spec(Kafka, "kafka_security_protocol", "KAFKA_SECURITY_PROTOCOL", "NAME", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
    spec(Kafka, "kafka_sasl_mechanism", "KAFKA_SASL_MECHANISM", "NAME", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
    spec(Kafka, "kafka_sasl_username", "KAFKA_SASL_USERNAME", "NAME", "The user to log in as"),
    spec(Secret, "kafka_sasl_password", "KAFKA_SASL_PASSWORD", "SECRET", "Its password"),
    spec(Kafka, "kafka_sasl_password_file", "KAFKA_SASL_PASSWORD_FILE", "FILE", "File that holds it, readable by its owner alone"),
    spec(Kafka, "kafka_ssl_ca_location", "KAFKA_SSL_CA_LOCATION", "FILE", "Certificate authorities to trust, PEM; the system's by default"),
    spec(Kafka, "kafka_ssl_certificate_location", "KAFKA_SSL_CERTIFICATE_LOCATION", "FILE", "Our certificate, PEM, for brokers that ask for one"),
    spec(Kafka, "kafka_ssl_key_location", "KAFKA_SSL_KEY_LOCATION", "FILE", "Its key; by default it stands in the same file"),
    spec(Accepted, "max_files_per_trigger", "MAX_FILES_PER_TRIGGER", "N", "accepted without effect: a batch is bounded by records and bytes, however many files they lie in"),
    spec(Accepted, "max_retries", "MAX_RETRIES", "N", "accepted without effect: what can be retried is retried until you stop it"),
    spec(Accepted, "checkpoint_location", "CHECKPOINT_LOCATION", "DIR", "accepted without effect: the store is the checkpoint"),
];

/// The environment variable that names the settings file; it has no TOML key.
pub const CONFIG_ENV: &str = "TELEMETRA_CONFIG";

impl Spec {
    /// The setting's flag, without the leading dashes.
    pub fn flag(&self) -> String {
        self.key.replace('_', "-")
    }
}

/// The setting with TOML key `key`.
pub fn by_key(key: &str) -> Option<&'static Spec> {
    SPECS.iter().find(|spec| spec.key == key)
}

/// The setting with environment variable `env`.
pub fn by_env(env: &str) -> Option<&'static Spec> {
    SPECS.iter().find(|spec| spec.env == env)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_used_twice() {
        for (at, spec) in SPECS.iter().enumerate() {
            for other in &SPECS[at + 1..] {
                assert_ne!(spec.key, other.key);
                assert_ne!(spec.env, other.env);
            }
        }
    }
}
