//! A real PostgreSQL: a server of the test's own in a temporary folder, on a free loopback port.
//!
//! `initdb` runs once for each release of the server; what it made is kept beside the build and copied for each
//! server. A keeper starts and stops the server, and removes its folder however this process ends. PostgreSQL refuses
//! to run as root, so root's keeper runs it as `postgres` or `nobody`, whom the folder belongs to.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use postgres::{Client, Config, NoTls};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    PATIENCE, eventually, free_port,
    keeper::{self, Keeper, finished},
    kept, workspace,
};

const USER: &str = "telemetra_admin";
const PASSWORD: &str = "only-for-tests";

/// Arguments of `initdb`. A change here makes a new template.
const INITDB: [&str; 9] =
    ["--no-sync", "--auth", "scram-sha-256", "--username", USER, "--encoding", "UTF8", "--locale", "C.UTF-8"];

/// What every server is told besides its port: little memory, no socket file, UTC.
const SETTINGS: &str = "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nshared_buffers = '32MB'\n\
                        max_connections = 200\ntimezone = 'UTC'\nlog_line_prefix = '%m [%p] %a '\n";

/// Arguments: folders of the server's programs and of the template, who the files belong to, how to run as them.
const KEEPER: &str = r#"
programs=$2 template=$3 owner=$4
trap '' PIPE
folder=$(mktemp -d "$1/telemetra-postgres-XXXXXX") || exit
echo "$folder"
shift 4
cd /
stop() { "$@" "$programs/pg_ctl" stop -s -w -m "${mode:-immediate}" -D "$folder/data"; }
while read -r word; do
    case $word in
    make) cp -r "$template" "$folder/data" ;;
    start)
        { [ -z "$owner" ] || chown -R "$owner" "$folder"; } &&
            "$@" "$programs/pg_ctl" start -s -w -t 60 -D "$folder/data" -l "$folder/log"
        ;;
    stop) stop "$@" ;;
    stop-fast) (mode=fast && stop "$@") ;;
    esac >>"$folder/keeper.log" 2>&1 && echo done || echo failed
done
stop "$@" >/dev/null 2>&1
rm -rf "$folder"
"#;

/// A running server, or one that was stopped and can be started again.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    port: u16,
    keeper: Mutex<Keeper>,
}

/// What a server of one test's own is to be.
#[derive(Clone, Copy, Default, Debug)]
pub struct Setup<'a> {
    /// Whether a commit is on the disk when it is answered. Only a crash of the whole machine makes a difference to
    /// what is there afterwards, but commits and recovery take their true time.
    pub fsync: bool,
    /// Lines of `postgresql.conf`, which win over the usual ones.
    pub settings: &'a [(&'a str, &'a str)],
    /// Names and texts of files in the data folder, readable by the server alone: keys, `pg_hba.conf`.
    pub files: &'a [(&'a str, &'a str)],
}

/// The user that the server runs as; `None` if that is this process' own.
type RunAs = Option<(u32, u32)>;

impl Postgres {
    /// The one server of this test process, started on first use, without fsync. Tests share it by databases.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Result<Postgres, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| Self::try_start(Setup::default()));
        shared.as_ref().unwrap_or_else(|error| panic!("{error}"))
    }

    /// A server of one test's own, which may be stopped and broken.
    pub fn start(setup: Setup) -> Self {
        Self::try_start(setup).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_start(setup: Setup) -> Result<Self, String> {
        let programs = programs()?;
        let run_as = run_as()?;
        let template = template(&programs, run_as)?;
        let (keeper, folder) = Keeper::start(KEEPER, keeper_args(&programs, template, run_as));
        let mut server = Self { folder, port: 0, keeper: Mutex::new(keeper) };
        if !server.say("make") {
            return Err(format!("PostgreSQL's folder cannot be made:\n{}", server.log()));
        }
        for (name, text) in setup.files {
            let path = server.folder.join("data").join(name);
            fs::write(&path, text).expect("the data folder is ours");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
        }
        for _ in 0..10 {
            server.port = free_port();
            server.configure(setup);
            if server.say("start") {
                return Ok(server);
            }
            if !server.log().contains("Address already in use") {
                break;
            }
        }
        Err(format!("PostgreSQL does not start:\n{}", server.log()))
    }

    fn configure(&self, setup: Setup) {
        let fsync = if setup.fsync { "on" } else { "off" };
        let mut text = format!("{SETTINGS}port = {}\nfsync = {fsync}\n", self.port);
        // File by file, recovery after a crash would take seconds for the thousand files of an empty server.
        let version = fs::read_to_string(self.folder.join("data/PG_VERSION")).expect("initdb wrote it");
        if cfg!(target_os = "linux") && version.trim().parse::<u32>().is_ok_and(|version| version >= 14) {
            text += "recovery_init_sync_method = 'syncfs'\n";
        }
        for (name, value) in setup.settings {
            text += &format!("{name} = '{}'\n", value.replace('\'', "''"));
        }
        fs::write(self.folder.join("data/postgresql.conf"), text).expect("the data folder is ours");
    }

    fn say(&self, word: &str) -> bool {
        self.keeper.lock().expect("no test panics while it holds this").say(word)
    }

    /// `postgres://` address of the superuser's own database.
    pub fn address(&self) -> String {
        address(self.port, "postgres")
    }

    /// Loopback port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A plain client of the superuser's own database, once the server takes one.
    pub fn client(&self) -> Client {
        eventually("the server takes a connection", || connect(&self.address()).ok())
    }

    /// A fresh empty database, dropped with the handle.
    pub fn create_database(&self) -> Database<'_> {
        self.create_like("template1")
    }

    fn create_like(&self, template: &str) -> Database<'_> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let sql = format!("CREATE DATABASE {name} TEMPLATE {template}");
        self.client().batch_execute(&sql).expect("the name is new, and nobody is in the template");
        Database { server: self, name }
    }

    /// Stops the server as a crash does: every connection is cut, the next start recovers from the log.
    pub fn stop_immediate(&self) {
        assert!(self.say("stop"), "PostgreSQL does not stop:\n{}", self.log());
    }

    /// Stops the server as an administrator does: every session is ended and told so, all is written out.
    pub fn stop_fast(&self) {
        assert!(self.say("stop-fast"), "PostgreSQL does not stop:\n{}", self.log());
    }

    /// Starts the stopped server: same port, same data. One that is still leaving is waited for.
    pub fn start_again(&self) {
        eventually("PostgreSQL starts again", || self.say("start").then_some(()));
    }

    /// Ends the connections of an application, or all clients' but the asking one; returns how many.
    pub fn kill_backends(&self, application: Option<&str>) -> i64 {
        let sql = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity WHERE \
                   backend_type = 'client backend' AND pid <> pg_backend_pid() AND \
                   ($1::text IS NULL OR application_name = $1)";
        self.client().query_one(sql, &[&application]).expect("a superuser may end them").get(0)
    }

    /// Sends a signal to one backend. SIGKILL makes the server cut all connections and recover.
    pub fn signal(&self, backend_pid: i32, signal: libc::c_int) {
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}")).arg(backend_pid.to_string());
        assert!(kill.status().expect("kill is there").success(), "backend {backend_pid} is not there");
    }

    /// What the server and its keeper have written.
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read(self.folder.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&[read("keeper.log"), read("log")].concat()).into_owned()
    }
}

/// A database of one test's own.
#[derive(Debug)]
pub struct Database<'a> {
    server: &'a Postgres,
    name: String,
}

impl<'a> Database<'a> {
    /// A database with the same contents. Nobody may be connected to this one.
    pub fn copy(&self) -> Database<'a> {
        self.server.create_like(&self.name)
    }

    /// `postgres://` address with user and password.
    pub fn address(&self) -> String {
        self.address_at(self.server.port)
    }

    /// The same at another port: a proxy's.
    pub fn address_at(&self, port: u16) -> String {
        address(port, &self.name)
    }

    /// A plain client of this database, once the server takes one.
    pub fn client(&self) -> Client {
        eventually("the server takes a connection", || connect(&self.address()).ok())
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        // A stopped server drops nothing; its folder goes as a whole.
        if let Ok(mut client) = connect(&self.server.address()) {
            let _ = client.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

fn address(port: u16, database: &str) -> String {
    format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}")
}

/// A plain client, which gives up where it would wait for ever.
pub fn connect(address: &str) -> Result<Client, postgres::Error> {
    let mut config: Config = address.parse().expect("the address is ours");
    config.connect_timeout(PATIENCE);
    config.connect(NoTls)
}

/// A command with a clean environment, as the server's user.
fn command(program: impl AsRef<OsStr>, run_as: RunAs) -> Command {
    let mut command = keeper::command(program);
    if let Some((user, group)) = run_as {
        command.uid(user).gid(group);
    }
    command
}

fn keeper_args(programs: &Path, template: &Path, run_as: RunAs) -> Vec<OsString> {
    let owner = run_as.map(|(user, group)| format!("{user}:{group}"));
    let mut args = vec![programs.into(), template.into(), owner.unwrap_or_default().into()];
    if let Some((user, group)) = run_as {
        args.extend(["setpriv".into(), format!("--reuid={user}").into()]);
        args.extend([format!("--regid={group}").into(), "--clear-groups".into()]);
    }
    args
}

/// The folder of the server's programs.
fn programs() -> Result<PathBuf, String> {
    let mut find = Command::new(workspace().join("scripts/postgres.sh"));
    let found = find.arg("--find").output().map_err(|error| format!("scripts/postgres.sh: {error}"))?;
    if found.status.success() {
        return Ok(PathBuf::from(String::from_utf8_lossy(&found.stdout).trim_end()));
    }
    let why = String::from_utf8_lossy(&found.stderr);
    Err(format!("this test needs PostgreSQL, which `make test` installs: run it once.\n{why}"))
}

/// Whom the server runs as, if we are root.
fn run_as() -> Result<RunAs, String> {
    let ours = tempfile::tempfile().and_then(|file| file.metadata()).expect("a temporary file");
    if ours.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(|error| format!("/etc/passwd: {error}"))?;
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    let found = ids("postgres").or_else(|| ids("nobody"));
    found.map(Some).ok_or_else(|| "neither user postgres nor nobody is there, and root may not run it".into())
}

/// What `initdb` makes, kept beside the build for all test processes; the first one makes it.
fn template(programs: &Path, run_as: RunAs) -> Result<&'static Path, String> {
    static TEMPLATE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = TEMPLATE.get_or_init(|| {
        let version = finished(Command::new(programs.join("postgres")).arg("--version"))?.stdout;
        let meant = format!("{} {PASSWORD} {INITDB:?}", String::from_utf8_lossy(&version));
        let kept = &kept();
        let name = format!("postgres-{:016x}", xxh3_64(meant.as_bytes()));
        if kept.join(&name).exists() {
            return Ok(kept.join(name));
        }
        let ours = tempfile::tempdir().expect("a folder");
        let password = ours.path().join("password");
        fs::write(&password, PASSWORD).expect("the folder is ours");
        if let Some((user, group)) = run_as {
            for path in [ours.path(), &password] {
                chown(path, Some(user), Some(group)).expect("root may give its files away");
            }
        }
        let mut initdb = command(programs.join("initdb"), run_as);
        initdb.args(INITDB).arg("--pwfile").arg(password).arg("-D").arg(ours.path().join("data"));
        finished(&mut initdb)?;
        fs::create_dir_all(kept).expect("the target folder is ours");
        let copied = tempfile::tempdir_in(kept).expect("a folder");
        copy(&ours.path().join("data"), &copied.path().join("data"))?;
        // Whole or not at all; another process may have been faster, and its template is as good.
        let renamed = fs::rename(copied.path().join("data"), kept.join(&name));
        renamed
            .or_else(|error| if kept.join(&name).exists() { Ok(()) } else { Err(error) })
            .expect("a rename");
        Ok(kept.join(name))
    });
    made.as_deref().map_err(Clone::clone)
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    finished(Command::new("cp").arg("-r").arg(from).arg(to)).map(drop)
}

#[cfg(test)]
mod tests;
