//! Writes an input to topics in transactions, every third one given up: librdkafka's client, in a process of its own.
//!
//! It goes no further than it is allowed to, so that there is something to write as long as there are deeds. A
//! transaction that a fault ends is given up and made again, so each event of the input is committed once.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    process::{Child, ChildStdin, Stdio},
};

use super::{CHAT_PARTITIONS, Input, Job, NEVER, VIEWER_PARTITIONS};

/// Reads shares of the input, in thousandths, and writes up to there.
const SCRIPT: &str = r#"
import sys
from confluent_kafka import KafkaException, Producer

servers, never, per_transaction = sys.argv[1], sys.argv[2], int(sys.argv[3])
inputs = []
for at in range(4, 10, 3):
    with open(sys.argv[at + 2], "rb") as file:
        inputs.append((sys.argv[at], int(sys.argv[at + 1]), file.read().splitlines()))
transactions = len(inputs[0][2]) // per_transaction
producer = Producer({
    "bootstrap.servers": servers, "transactional.id": inputs[0][0], "transaction.timeout.ms": 300000,
    "linger.ms": 5, "queue.buffering.max.messages": 1000000,
})
again = gave_up = 0

def patiently(call):
    while True:
        try:
            return call(60)
        except KafkaException as error:
            if not error.args[0].retriable(): raise

def write(values):
    for topic, partition, value in values:
        while True:
            try:
                producer.produce(topic, value, partition=partition)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)

def transact(values, commits):
    global again
    while True:
        producer.begin_transaction()
        try:
            if commits:
                write(values)
                return patiently(producer.commit_transaction)
            # Half of it is in the log, the rest may be or not: an abort before anything was sent confuses the client.
            write(values[::2])
            producer.flush()
            write(values[1::2])
            return patiently(producer.abort_transaction)
        except KafkaException as error:
            if error.args[0].fatal(): raise
            again += 1
            patiently(producer.abort_transaction)

def slice_of(number):
    values = []
    for topic, partitions, lines in inputs:
        first, behind = (len(lines) * it // transactions for it in (number, number + 1))
        values += [(topic, at % partitions, lines[at]) for at in range(first, behind)]
    return values

# What is given up lies in the same event time, so that counting it would show in nothing but the rows.
def unwanted(values):
    wrong = b'"stream_id":"' + never.encode() + b'"'
    def of(value):
        before, behind = value.split(b'"stream_id":"', 1)
        return before + wrong + behind.split(b'"', 1)[1]
    return [(topic, partition, of(value)) for topic, partition, value in values]

patiently(producer.init_transactions)
done = 0
for line in sys.stdin:
    to = transactions * int(line) // 1000
    while done < to:
        values = slice_of(done)
        transact(values, True)
        done += 1
        if done % 2 == 0:
            gave_up += len(values)
            transact(unwanted(values), False)
print(f"{done} transactions committed, {done // 2} with {gave_up} events given up, {again} made again", flush=True)
"#;

/// The process.
pub(super) struct Producer {
    child: Child,
    allowing: Option<ChildStdin>,
    /// What it has said in the end.
    said: PathBuf,
}

impl Producer {
    /// Starts it; nothing is written yet.
    pub(super) fn start(input: &Input, job: &Job, per_transaction: u64) -> Self {
        let [chat, viewer] = ["chat", "viewer"].map(|kind| input.file(kind).display().to_string());
        let (chats, viewers) = (CHAT_PARTITIONS.to_string(), VIEWER_PARTITIONS.to_string());
        let args =
            [NEVER, &per_transaction.to_string(), &job.chat, &chats, &chat, &job.viewer, &viewers, &viewer];
        let said = job.telemetra.path().join("producer.log");
        let file = File::create(&said).expect("the folder is ours");
        let mut command = job.kafka.python_command(SCRIPT, &args);
        command.stdin(Stdio::piped()).stdout(file.try_clone().expect("a file")).stderr(file);
        let mut child = command.spawn().expect("Python starts");
        Self { allowing: child.stdin.take(), child, said }
    }

    /// Lets it write up to this share of the input, in thousandths.
    pub(super) fn allow(&mut self, share: u64) {
        let pipe = self.allowing.as_mut().expect("it is open until the end");
        let said = || fs::read_to_string(&self.said).unwrap_or_default();
        writeln!(pipe, "{}", share.min(1_000)).unwrap_or_else(|error| panic!("{error}:\n{}", said()));
    }

    /// Whether it still runs, or has done all.
    pub(super) fn check(&mut self) {
        let left = self.child.try_wait().expect("it can be asked");
        assert!(left.is_none_or(|status| status.success()), "{left:?}:\n{}", self.said());
    }

    /// Waits for its end and returns what it has to say.
    pub(super) fn finish(mut self) -> String {
        self.allowing = None;
        let status = self.child.wait().expect("it can be waited for");
        assert!(status.success(), "{status}:\n{}", self.said());
        self.said()
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default().trim_end().to_owned()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // One that has ended is as it should be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
