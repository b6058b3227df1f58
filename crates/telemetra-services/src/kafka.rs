//! Real Kafka brokers: a cluster of the test's own in a temporary folder, on free loopback ports, one node or three.
//!
//! | file | owns |
//! |---|---|
//! | `admin` | topics made, changed and deleted, leaders moved, records deleted: what an administrator does |
//! | `certificates` | an authority of the cluster's own, the brokers' certificate, a client's |
//! | `clients` | programs that are not ours: kcat, librdkafka's Python package, Kafka's own tools |
//! | `protocol` | one question to one broker |
//! | `settings` | what a broker is told when it starts: listeners, ports, sizes |
//! | `template` | what is made once and kept for all brokers, because making it takes seconds |
//!
//! `scripts/kafka.sh` fetches the jars. Every node is broker and controller. A keeper starts and stops the nodes; when
//! this process ends, in whatever way, it kills them and removes the folder. A node is up when it has answered that it
//! and those beside it are.

use std::{
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use crate::{eventually_at, keeper::Keeper};
use clients::Programs;
use settings::Ports;

mod admin;
mod certificates;
mod clients;
mod protocol;
mod settings;
mod template;

pub use settings::{Listener, USERS, User};

/// Number of a node, from 1 on; it is the broker's id too.
pub type Node = u16;

/// A node starts for seconds and needs the processor for that: it is not asked all the time.
const NODE_ASKED_EVERY: Duration = Duration::from_millis(50);

/// Keeps the nodes; `start`, `stop`, `kill` and `alive` have a node's number behind them. Arguments: Java's program and
/// what it gets before the name of a node's settings.
///
/// A child that has ended is there until the shell waits for one, which it does for every command: hence `(:)`.
const KEEPER: &str = r#"
trap '' PIPE
folder=$(mktemp -d "$1/telemetra-kafka-XXXXXX") || exit
echo "$folder"
cd "$folder" || exit
shift
alive() { (:); eval "pid=\${node_$1:-}"; [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }
end() { ! alive "$1" || { kill -KILL "$pid" && { wait "$pid"; eval "node_$1="; }; }; }
start() {
    node=$1
    shift
    alive "$node" && return 1
    "$@" "$node.properties" >>"$node.log" 2>&1 </dev/null &
    eval "node_$node=$!"
}
stop() {
    alive "$1" && kill -TERM "$pid" || return
    tenths=0
    while alive "$1" && [ $tenths -lt 600 ]; do
        sleep 0.1
        tenths=$((tenths + 1))
    done
    end "$1"
    [ $tenths -lt 600 ]
}
while read -r word node; do
    case $word in
    start) start "$node" "$@" ;;
    stop) stop "$node" ;;
    kill) alive "$node" && end "$node" ;;
    alive) alive "$node" ;;
    esac >>keeper.log 2>&1 && echo done || echo failed
done
for node in 1 2 3; do end "$node"; done
cd /
rm -rf "$folder"
"#;

/// Which Kafka.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub enum Version {
    /// The newest.
    #[default]
    V4,
    /// The last one of the third series.
    V3,
}

/// What a cluster of one test's own is to be.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// One or three.
    pub nodes: Node,
    /// Which Kafka they are.
    pub version: Version,
    /// Whether there are the listeners with TLS and SASL as well.
    pub is_secure: bool,
    /// Whom the brokers' certificate is for, if there is one.
    pub certificate_names: &'a [&'a str],
    /// Settings of every node, which win over the usual ones.
    pub properties: &'a [(&'a str, &'a str)],
    /// Gives every node a listener behind a proxy: from its number and the port that the node takes to the port that
    /// clients are told.
    pub proxied: Option<&'a dyn Fn(Node, u16) -> u16>,
    /// Whether the nodes are to be fast once they are warm, for measurements; otherwise they are fast to start.
    pub is_fast: bool,
}

impl Default for Setup<'_> {
    /// One node of the newest Kafka, without TLS.
    fn default() -> Self {
        Self {
            nodes: 1,
            version: Version::default(),
            is_secure: false,
            certificate_names: &["localhost", "127.0.0.1"],
            properties: &[],
            proxied: None,
            is_fast: false,
        }
    }
}

/// A running cluster, or one whose nodes were stopped and can be started again.
#[derive(Debug)]
pub struct Kafka {
    folder: PathBuf,
    cluster_id: String,
    programs: Programs,
    /// One a node.
    ports: Vec<Ports>,
    keeper: Mutex<Keeper>,
}

impl Kafka {
    /// The one broker of this test process, started on first use. Tests share it by topics.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Result<Kafka, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Self::try_start(&Setup::default()));
        shared.as_ref().unwrap_or_else(|error| panic!("{error}"))
    }

    /// A cluster of one test's own, whose nodes may be killed.
    pub fn start(setup: Setup) -> Self {
        Self::try_start(&setup).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_start(setup: &Setup) -> Result<Self, String> {
        let template = template::of(setup.version)?;
        let mut tries = 0..5;
        loop {
            let started = Self::launch(setup, template, &[]);
            match started {
                // Between our look and the node's start somebody else took a port.
                Err(error) if error.contains("Address already in use") && tries.next().is_some() => {}
                started => return started,
            }
        }
    }

    /// Starts all nodes from the template's folder, on ports that were free a moment ago.
    fn launch(setup: &Setup, template: &Path, options: &[String]) -> Result<Self, String> {
        assert!(matches!(setup.nodes, 1 | 3), "one node or three");
        let programs = Programs::find(setup.version)?;
        let mut java = vec![programs.java.clone().into_os_string()];
        java.extend(settings::java_options(setup, template).into_iter().map(Into::into));
        java.extend(options.iter().map(Into::into));
        java.extend(["-cp".into(), programs.class_path()?, "kafka.Kafka".into()]);
        let (keeper, folder) = Keeper::start(KEEPER, java);
        let ports = (1..=setup.nodes).map(|node| Ports::choose(setup, node)).collect();
        let cluster_id = settings::random_id();
        let kafka = Self { folder, cluster_id, programs, ports, keeper: Mutex::new(keeper) };
        if setup.is_secure {
            certificates::make(&kafka.folder, setup.certificate_names);
        }
        for node in kafka.nodes() {
            let data = kafka.data(node);
            fs::create_dir(&data).expect("the folder is ours");
            fs::copy(template.join(template::CHECKPOINT), data.join(template::CHECKPOINT))
                .map_err(|error| format!("{}: {error}", template.display()))?;
            fs::write(data.join("meta.properties"), settings::identity(node, &kafka.cluster_id))
                .expect("the folder is ours");
            let properties = settings::broker(setup, node, &kafka.ports, &kafka.folder);
            fs::write(kafka.folder.join(format!("{node}.properties")), properties)
                .expect("the folder is ours");
        }
        for node in kafka.nodes() {
            kafka.say("start", node);
        }
        kafka.await_nodes(kafka.nodes())?;
        Ok(kafka)
    }

    /// Waits until each of these nodes says that all of them are up.
    fn await_nodes(&self, nodes: RangeInclusive<Node>) -> Result<(), String> {
        eventually_at(NODE_ASKED_EVERY, "nodes of Kafka are up", || {
            if let Some(node) = nodes.clone().find(|&node| !self.is_alive(node)) {
                return Some(Err(format!("node {node} of Kafka does not start:\n{}", self.log())));
            }
            // Whoever took a port meanwhile would answer with another cluster's id.
            let knows_all = |node| {
                let known = self.nodes_known_to(node)?;
                nodes.clone().all(|node| known.contains(&node)).then_some(())
            };
            nodes.clone().try_for_each(knows_all).map(Ok)
        })
    }

    fn say(&self, word: &str, node: Node) -> bool {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner).say(&format!("{word} {node}"))
    }

    /// The numbers of all nodes, whether they run or not.
    pub fn nodes(&self) -> RangeInclusive<Node> {
        1..=Node::try_from(self.ports.len()).expect("three at most")
    }

    /// Whether the node's process is there.
    pub fn is_alive(&self, node: Node) -> bool {
        self.say("alive", node)
    }

    /// Kills a node as `kill -9` and a power failure do. The others notice when it has been silent for some seconds.
    pub fn kill(&self, node: Node) {
        assert!(self.say("kill", node), "node {node} does not run");
    }

    /// Stops a node as an administrator does: it hands its partitions over and writes all out.
    pub fn stop(&self, node: Node) {
        assert!(self.say("stop", node), "node {node} does not stop:\n{}", self.log());
    }

    /// Starts a node that was killed or stopped: same ports, same data. Returns when it is up.
    pub fn start_again(&self, node: Node) {
        assert!(self.say("start", node), "node {node} runs already");
        self.await_nodes(node..=node).unwrap_or_else(|error| panic!("{error}"));
    }

    /// `host:port` of every node's listener without TLS, with commas between.
    pub fn bootstrap(&self) -> String {
        self.address(Listener::Plain)
    }

    /// The same of another listener.
    ///
    /// # Panics
    /// If the cluster was not set up with it.
    pub fn address(&self, listener: Listener) -> String {
        let address = |ports: &Ports| format!("127.0.0.1:{}", ports.told(listener));
        self.ports.iter().map(address).collect::<Vec<_>>().join(",")
    }

    /// The file with the authority's certificate, PEM, that vouches for the brokers of a secure cluster.
    pub fn authority(&self) -> PathBuf {
        self.folder.join(certificates::AUTHORITY)
    }

    /// The files of a client's certificate and its key, PEM, which the brokers of a secure cluster trust.
    pub fn client_certificate(&self) -> (PathBuf, PathBuf) {
        (self.folder.join(certificates::CLIENT), self.folder.join(certificates::CLIENT_KEY))
    }

    /// The folder in which a node keeps a partition: segments, indexes. Not to be written to while the node runs.
    pub fn partition_folder(&self, node: Node, topic: &str, partition: i32) -> PathBuf {
        self.data(node).join(format!("{topic}-{partition}"))
    }

    fn data(&self, node: Node) -> PathBuf {
        settings::data(&self.folder, node)
    }

    /// What the nodes have written, and what has become of their keeper's work.
    pub fn log(&self) -> String {
        let read = |name: String| {
            let text = fs::read(self.folder.join(&name)).unwrap_or_default();
            format!("{name}:\n{}", String::from_utf8_lossy(&text))
        };
        let nodes = self.nodes().map(|node| format!("{node}.log"));
        nodes.chain(["keeper.log".into()]).map(read).collect()
    }
}

#[cfg(test)]
mod tests;
