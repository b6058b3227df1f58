//! The keeper: a small shell between a test process and the servers it starts, so that nothing outlives the process.
//!
//! Its standard input is a pipe from this process. However this process ends, the pipe ends with it: the keeper then
//! stops its servers and removes their folder. What the words mean is each script's own. A script
//! - finds the folder for temporary files in `$1` and its own arguments behind,
//! - makes its folder, and says so first: nothing is there that only this process knows of,
//! - answers each word it reads by a line, `done` or `failed`,
//! - ignores SIGPIPE: an answer that nobody reads any more must not end it before its work is done.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
};

/// A running keeper. Dropped, it has stopped what it keeps and removed the folder.
#[derive(Debug)]
pub(crate) struct Keeper {
    child: Child,
    /// `None` at the end: the keeper leaves when this is closed.
    words: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Keeper {
    /// The keeper and the empty folder that it has made.
    pub(crate) fn start(script: &str, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> (Self, PathBuf) {
        let mut command = command("sh");
        command.args(["-c", script, "keeper"]).arg(tempfile::env::temp_dir()).args(args);
        // A signal to the tests' process group, as Ctrl-C sends it, must not keep the keeper from its work.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("sh is there");
        let words = Some(child.stdin.take().expect("it is piped"));
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut keeper = Self { child, words, answers };
        let folder = keeper.answer();
        assert!(!folder.is_empty(), "no folder can be made in {}", tempfile::env::temp_dir().display());
        (keeper, PathBuf::from(folder))
    }

    /// Says one line; whether the keeper has done what it says.
    pub(crate) fn say(&mut self, words: &str) -> bool {
        let pipe = self.words.as_mut().expect("it is open until the end");
        writeln!(pipe, "{words}").expect("the keeper listens");
        self.answer() == "done"
    }

    fn answer(&mut self) -> String {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the keeper answers");
        answer.trim_end().to_owned()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.words = None;
        let _ = self.child.wait();
    }
}

/// A command with a clean environment, nothing to read, and no folder of ours to work in.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null()).current_dir("/");
    command
}

/// Runs a command to its end; what it has written to standard error if it fails.
pub(crate) fn finished(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(output) } else { Err(format!("{command:?}: {}\n{said}", output.status)) }
}
