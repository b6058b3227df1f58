//! What a node is told when it starts: who it is, where it listens, and sizes fit for many clusters on one machine.
//!
//! The controllers are a fixed list, so that one node's folder is made as any other's. Topics are made by those who want
//! them, never because somebody asked for one.

use std::{fmt::Write as _, path::Path};

use rand::{RngExt, distr::Alphanumeric};

use super::{Node, Setup, Version, certificates, template};
use crate::free_port;

/// Where clients are listened to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Listener {
    /// As it comes: no TLS, no user.
    Plain,
    /// As it comes, told by the port of a proxy before it.
    Proxied,
    /// A user by SASL, without TLS.
    Sasl,
    /// TLS, and a user by SASL within.
    SaslTls,
    /// TLS by which client and server show certificates.
    MutualTls,
}

impl Listener {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Proxied => "PROXIED",
            Self::Sasl => "SASL",
            Self::SaslTls => "SASLTLS",
            Self::MutualTls => "MUTUALTLS",
        }
    }

    fn protocol(self) -> &'static str {
        match self {
            Self::Plain | Self::Proxied => "PLAINTEXT",
            Self::Sasl => "SASL_PLAINTEXT",
            Self::SaslTls => "SASL_SSL",
            Self::MutualTls => "SSL",
        }
    }
}

/// A user, known to every cluster by one mechanism.
#[derive(Clone, Copy, Debug)]
pub struct User {
    /// As Kafka calls it: `SCRAM-SHA-256`.
    pub mechanism: &'static str,
    /// Name.
    pub name: &'static str,
    /// Password.
    pub password: &'static str,
}

/// All users: one a mechanism.
pub const USERS: [User; 3] = [
    User { mechanism: "PLAIN", name: "plain", password: "plain-only-for-tests" },
    User { mechanism: "SCRAM-SHA-256", name: "scram-256", password: "scram-256-only-for-tests" },
    User { mechanism: "SCRAM-SHA-512", name: "scram-512", password: "scram-512-only-for-tests" },
];

/// Where one node listens.
#[derive(Debug)]
pub(super) struct Ports {
    controller: u16,
    /// Listeners, their ports, and the ports that clients are told.
    listeners: Vec<(Listener, u16, u16)>,
}

impl Ports {
    pub(super) fn choose(setup: &Setup, node: Node) -> Self {
        let open = |listener| {
            let port = free_port();
            (listener, port, port)
        };
        let mut listeners = vec![open(Listener::Plain)];
        if setup.is_secure {
            listeners.extend([Listener::Sasl, Listener::SaslTls, Listener::MutualTls].map(open));
        }
        if let Some(proxied) = setup.proxied {
            let port = free_port();
            listeners.push((Listener::Proxied, port, proxied(node, port)));
        }
        Self { controller: free_port(), listeners }
    }

    /// The port that clients are told.
    pub(super) fn told(&self, listener: Listener) -> u16 {
        let found = self.listeners.iter().find(|(own, ..)| *own == listener);
        found.unwrap_or_else(|| panic!("the cluster was not set up with the listener {listener:?}")).2
    }
}

/// The node's folder for what it stores.
pub(super) fn data(folder: &Path, node: Node) -> std::path::PathBuf {
    folder.join(format!("{node}"))
}

/// Text of a node's `server.properties`.
pub(super) fn broker(setup: &Setup, node: Node, ports: &[Ports], folder: &Path) -> String {
    let mut text = String::new();
    let mut set = |name: &str, value: &str| {
        writeln!(text, "{name}={value}").expect("writing to a string cannot fail");
    };
    set("process.roles", "broker,controller");
    set("node.id", &node.to_string());
    set("log.dirs", &data(folder, node).display().to_string());
    let voters = (1..).zip(ports).map(|(node, ports)| format!("{node}@127.0.0.1:{}", ports.controller));
    set("controller.quorum.voters", &voters.collect::<Vec<_>>().join(","));
    set("controller.listener.names", "CONTROLLER");
    set("inter.broker.listener.name", Listener::Plain.name());

    let own = &ports[usize::from(node - 1)];
    let joined = |part: &dyn Fn(&(Listener, u16, u16)) -> String| {
        own.listeners.iter().map(part).collect::<Vec<_>>().join(",")
    };
    let listeners = joined(&|(listener, port, _)| format!("{}://127.0.0.1:{port}", listener.name()));
    set("listeners", &format!("{listeners},CONTROLLER://127.0.0.1:{}", own.controller));
    set("advertised.listeners", &joined(&|(own, _, told)| format!("{}://127.0.0.1:{told}", own.name())));
    let protocols = joined(&|(listener, ..)| format!("{}:{}", listener.name(), listener.protocol()));
    set("listener.security.protocol.map", &format!("{protocols},CONTROLLER:PLAINTEXT"));
    if setup.is_secure {
        secure(folder, &mut set);
    }

    let replicas = setup.nodes.to_string();
    set("default.replication.factor", &replicas);
    set("offsets.topic.replication.factor", &replicas);
    set("transaction.state.log.replication.factor", &replicas);
    let in_sync = if setup.nodes == 1 { "1" } else { "2" };
    set("transaction.state.log.min.isr", in_sync);
    set("offsets.topic.num.partitions", "2");
    set("transaction.state.log.num.partitions", "2");
    set("auto.create.topics.enable", "false");
    set("group.initial.rebalance.delay.ms", "0");
    // What is quicker than usual: a dead node is noticed, segments that are too old are found.
    set("broker.session.timeout.ms", "4000");
    set("broker.heartbeat.interval.ms", "500");
    set("log.retention.check.interval.ms", "1000");
    set("log.initial.task.delay.ms", "1000");
    // Threads and memory for one machine's tests.
    set("num.network.threads", "2");
    set("num.io.threads", "4");
    set("background.threads", "2");
    set("log.cleaner.dedupe.buffer.size", "2097152");
    for (name, value) in setup.properties {
        set(name, value);
    }
    text
}

/// TLS by PEM files, users by all mechanisms; who has come in may do anything.
fn secure(folder: &Path, set: &mut impl FnMut(&str, &str)) {
    set("ssl.keystore.type", "PEM");
    set("ssl.keystore.location", &folder.join(certificates::BROKER).display().to_string());
    set("ssl.truststore.type", "PEM");
    set("ssl.truststore.location", &folder.join(certificates::AUTHORITY).display().to_string());
    set("listener.name.mutualtls.ssl.client.auth", "required");
    set("sasl.enabled.mechanisms", &USERS.map(|user| user.mechanism).join(","));
    let plain = USERS.iter().filter(|user| user.mechanism == "PLAIN");
    let plain: String = plain.map(|user| format!(" user_{}=\"{}\"", user.name, user.password)).collect();
    let security = "org.apache.kafka.common.security";
    for listener in ["sasl", "sasltls"] {
        let set_login = &mut |mechanism: &str, login: &str| {
            set(&format!("listener.name.{listener}.{mechanism}.sasl.jaas.config"), &format!("{login};"));
        };
        set_login("plain", &format!("{security}.plain.PlainLoginModule required{plain}"));
        set_login("scram-sha-256", &format!("{security}.scram.ScramLoginModule required"));
        set_login("scram-sha-512", &format!("{security}.scram.ScramLoginModule required"));
    }
}

/// Text of a node's `meta.properties`, by which its folder is its own.
pub(super) fn identity(node: Node, cluster_id: &str) -> String {
    format!("version=1\nnode.id={node}\ncluster.id={cluster_id}\ndirectory.id={}\n", random_id())
}

/// An id as Kafka makes them: 16 bytes in base64 without padding; here of letters and digits alone.
pub(super) fn random_id() -> String {
    let letters = rand::rng().sample_iter(Alphanumeric).take(21).map(char::from);
    // The last one has but two bits.
    letters.chain(['A']).collect()
}

/// What Java is told: little memory, a start as short as can be, no files outside the temporary folder.
pub(super) fn java_options(setup: &Setup, template: &Path) -> Vec<String> {
    let mut options: Vec<String> =
        ["-Xmx512m", "-XX:+UseSerialGC", "-XX:-UsePerfData"].map(Into::into).into();
    if !setup.is_fast {
        options.push("-XX:TieredStopAtLevel=1".into());
    }
    let classes = template.join(template::CLASSES);
    if setup.version == Version::V4 && classes.exists() {
        options.push(format!("-XX:SharedArchiveFile={}", classes.display()));
        options.push("-Xlog:cds=off".into());
        options.push("-Xlog:cds+dynamic=off".into());
    }
    // It unpacks libraries of compressions there. The keeper has made the node's folder its own.
    options.push("-Djava.io.tmpdir=.".into());
    let log = [("defaultLogLevel", "warn"), ("showDateTime", "true"), ("dateTimeFormat", "HH:mm:ss.SSS")];
    options.extend(log.map(|(name, value)| format!("-Dorg.slf4j.simpleLogger.{name}={value}")));
    options
}
