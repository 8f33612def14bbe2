//! Databases that are asked in SQL: PostgreSQL and MariaDB of the machine's own packages, run by hand with their own folders and ports. Both have
//! TLS with a certificate for `localhost` alone.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::certificates::Authority;
use crate::part::{Part, Program};
use crate::port::Port;
use crate::run::Run;

const START_WITHIN: Duration = Duration::from_secs(60);

/// The users that there are: one who comes as he likes, and one whom the server takes with TLS alone. Both have this password.
const USER: &str = "springtide";
const CAREFUL_USER: &str = "careful";
const PASSWORD: &str = "lantern";
const DATABASE: &str = "orders";

/// Where Debian puts PostgreSQL's programs, by version.
const POSTGRESQL: &str = "/usr/lib/postgresql";

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sql {
    /// PostgreSQL.
    PostgreSql,
    /// MariaDB, which speaks MySQL's protocol.
    MariaDb,
}

/// A running database. It stops when dropped.
pub struct Database {
    // Dropped in this order: the program, then its port and the folder.
    program: Part,
    port: Port,
    kind: Sql,
    authority: PathBuf,
    run: Run,
}

impl Database {
    /// Starts one of its own, with its users and an empty database, and waits until it answers.
    pub async fn start(kind: Sql) -> Result<Self> {
        let (run, port) = (Run::open("database")?, Port::book()?);
        let authority = Authority::new("springtide-testbed-database")?;
        let identity = authority.server("database", &["localhost"])?;
        let authority = run.write("authority.pem", &authority.certificate)?;
        run.write("server.pem", &identity.certificate)?;
        let key = run.write("server.key", &identity.key)?;
        // A key that others may read is refused.
        fs::set_permissions(&key, Permissions::from_mode(0o600)).with_context(|| format!("cannot protect {}", key.display()))?;
        let folder = run.folder().to_owned();
        let number = port.number;
        let program = tokio::task::spawn_blocking(move || match kind {
            Sql::PostgreSql => postgresql(&folder, number),
            Sql::MariaDb => mariadb(&folder, number),
        });
        let program = Part::start(&run, &program.await??)?;
        let mut database = Self { program, port, kind, authority, run };
        let (client, folder) = (Client { kind, port: number }, database.run.folder().to_owned());
        database.program.until_ready(START_WITHIN, async || client.execute(&folder, client.anywhere(), "SELECT 1").is_ok()).await?;
        for statement in client.founding() {
            client.execute(&folder, client.anywhere(), &statement)?;
        }
        Ok(database)
    }

    /// Runs statements as the database's owner.
    pub fn execute(&self, statements: &str) -> Result<()> {
        let client = Client { kind: self.kind, port: self.port.number };
        client.execute(self.run.folder(), DATABASE, statements)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The user who comes as he likes, the one who is taken with TLS alone, and the password of both.
    pub const fn users() -> (&'static str, &'static str, &'static str) {
        (USER, CAREFUL_USER, PASSWORD)
    }

    /// The database's name.
    pub const fn name() -> &'static str {
        DATABASE
    }

    /// The file with who signed its certificate, as PEM.
    pub fn authority_file(&self) -> &Path {
        &self.authority
    }

    /// Who signed its certificate, as PEM.
    pub fn authority(&self) -> Result<String> {
        fs::read_to_string(&self.authority).with_context(|| format!("cannot read {}", self.authority.display()))
    }

    /// Makes it hang: it keeps its connections and answers nothing.
    pub fn pause(&self) -> Result<()> {
        self.program.pause()?;
        self.signal_children(Signal::STOP)
    }

    /// Lets it go on.
    pub fn resume(&self) -> Result<()> {
        self.signal_children(Signal::CONT)?;
        self.program.resume()
    }

    /// PostgreSQL gives each connection a process in a session of its own.
    fn signal_children(&self, signal: Signal) -> Result<()> {
        let pid = self.program.pid();
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        for child in children.split_whitespace().filter_map(|child| child.parse().ok().and_then(Pid::from_raw)) {
            // It may have ended by itself.
            let _ = kill_process(child, signal);
        }
        Ok(())
    }
}

/// Statements by the database's own client.
#[derive(Clone, Copy)]
struct Client {
    kind: Sql,
    port: u16,
}

impl Client {
    /// A database that is always there.
    const fn anywhere(self) -> &'static str {
        match self.kind {
            Sql::PostgreSql => "postgres",
            Sql::MariaDb => "mysql",
        }
    }

    /// What makes the users and the database.
    fn founding(self) -> Vec<String> {
        let user = |name: &str| match self.kind {
            Sql::PostgreSql => format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'"),
            Sql::MariaDb => format!("CREATE USER {name}@'%' IDENTIFIED BY '{PASSWORD}'"),
        };
        let mut statements = vec![format!("CREATE DATABASE {DATABASE}"), user(USER), user(CAREFUL_USER)];
        if self.kind == Sql::MariaDb {
            statements.push(format!("ALTER USER {CAREFUL_USER}@'%' REQUIRE SSL"));
            statements.extend([USER, CAREFUL_USER].map(|name| format!("GRANT ALL ON {DATABASE}.* TO {name}@'%'")));
        }
        statements
    }

    fn execute(self, folder: &Path, database: &str, statements: &str) -> Result<()> {
        let mut command = match self.kind {
            Sql::PostgreSql => {
                let mut command = Command::new("psql");
                command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--host"]).arg(folder);
                command.args([&format!("--port={}", self.port), "--username=postgres", "--dbname", database, "--command", statements]);
                command
            }
            Sql::MariaDb => {
                let mut command = Command::new("mariadb");
                command.args(["--no-defaults", "--user=root", "--socket"]).arg(folder.join("socket"));
                command.args(["--database", database, "--execute", statements]);
                command
            }
        };
        run_quietly(&mut command)
    }
}

fn run_quietly(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {command:?}; `cargo xtask setup` installs it when run as root"))?;
    ensure!(output.status.success(), "{command:?} fails: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn postgresql(folder: &Path, port: u16) -> Result<Program> {
    let programs = fs::read_dir(POSTGRESQL).into_iter().flatten().flatten().map(|entry| entry.path().join("bin")).max();
    let Some(programs) = programs.filter(|programs| programs.join("postgres").is_file()) else {
        bail!(
            "PostgreSQL is missing (looked in {POSTGRESQL}). `cargo xtask setup` installs it when run as root; else `apt-get install postgresql`"
        );
    };
    let data = folder.join("data");
    // It does not run as root, and whom it would run as may not read this folder: so it runs as one who is called otherwise where it looks.
    let disguise = ["--user", "--map-user=1000", "--map-group=1000", "--"].map(str::to_owned);
    let mut command = Command::new("unshare");
    command.args(&disguise).arg(programs.join("initdb")).arg("--pgdata").arg(&data);
    command.args(["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]);
    run_quietly(&mut command)?;
    let doors = format!(
        "local all postgres trust\nhostssl all {CAREFUL_USER} all scram-sha-256\nhost all {CAREFUL_USER} all reject\nhost all all all scram-sha-256\n"
    );
    fs::write(data.join("pg_hba.conf"), doors).with_context(|| format!("cannot write in {}", data.display()))?;
    let file = |name: &str| folder.join(name).display().to_string();
    let settings = [
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("port", port.to_string()),
        ("unix_socket_directories", folder.display().to_string()),
        ("ssl", "on".to_owned()),
        ("ssl_cert_file", file("server.pem")),
        ("ssl_key_file", file("server.key")),
        ("fsync", "off".to_owned()),
        ("shared_buffers", "16MB".to_owned()),
    ];
    let settings = settings.into_iter().flat_map(|(name, text)| ["-c".to_owned(), format!("{name}={text}")]);
    let mut arguments = disguise.to_vec();
    arguments.extend([programs.join("postgres").display().to_string(), "-D".to_owned(), data.display().to_string()]);
    arguments.extend(settings);
    Ok(Program { name: "postgresql", path: PathBuf::from("unshare"), arguments, environment: Vec::new() })
}

fn mariadb(folder: &Path, port: u16) -> Result<Program> {
    let data = folder.join("data");
    let mut command = Command::new("mariadb-install-db");
    command.args(["--no-defaults", "--user=root", "--auth-root-authentication-method=normal", "--skip-test-db"]);
    run_quietly(command.arg(format!("--datadir={}", data.display())))?;
    let file = |option: &str, name: &str| format!("--{option}={}", folder.join(name).display());
    let arguments = vec![
        // Their own settings are for the machine's own server.
        "--no-defaults".to_owned(),
        "--user=root".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--port={port}"),
        "--skip-name-resolve".to_owned(),
        "--innodb-flush-log-at-trx-commit=0".to_owned(),
        "--innodb-buffer-pool-size=16M".to_owned(),
        file("datadir", "data"),
        file("socket", "socket"),
        file("pid-file", "pid"),
        file("ssl-cert", "server.pem"),
        file("ssl-key", "server.key"),
    ];
    let path = ["/usr/sbin/mariadbd", "/usr/bin/mariadbd"].map(PathBuf::from).into_iter().find(|path| path.is_file());
    let path =
        path.context("MariaDB is missing. `cargo xtask setup` installs it when run as root; else `apt-get install mariadb-server`")?;
    Ok(Program { name: "mariadb", path, arguments, environment: Vec::new() })
}
