//! The scalers of databases on a real PostgreSQL and a real MariaDB: what queries give, what is said of mistakes, TLS, and how they live through outages.
//! Scenes are for both, where they do not say otherwise.

use anyhow::{Context, Result, ensure};
use springtide_core::reading::{Reading, Sample};
use springtide_core::units::MetricMilli;
use springtide_scalers::Trigger;
use springtide_testbed::{Database, Sql, TcpProxy};

use super::reader::{self, Reader, sample};

/// A database, and how its trigger is written.
struct Stage {
    sql: Sql,
    database: Database,
}

/// Who asks where, and with what over TLS.
struct Login<'a> {
    host: &'a str,
    port: u16,
    user: &'a str,
    password: &'a str,
    database: &'a str,
    /// PostgreSQL's sslmode, or MySQL's tls.
    tls: &'a str,
}

impl Stage {
    async fn new(sql: Sql) -> Result<Self> {
        Ok(Self { sql, database: Database::start(sql).await? })
    }

    fn login(&self) -> Login<'_> {
        let (user, _, password) = Database::users();
        let tls = if self.sql == Sql::PostgreSql { "disable" } else { "false" };
        Login { host: "127.0.0.1", port: self.database.address().port(), user, password, database: Database::name(), tls }
    }

    /// A trigger with the login in one text.
    fn trigger(&self, login: &Login<'_>, query: &str) -> Result<Trigger> {
        self.trigger_with(login, query, "", &[])
    }

    /// The same with more of the text, and of the authentication.
    fn trigger_with(&self, login: &Login<'_>, query: &str, more: &str, auth: &[(&str, &str)]) -> Result<Trigger> {
        let with = |text| auth.iter().copied().chain([text]).collect::<Vec<_>>();
        let Login { host, port, user, password, database, tls } = login;
        match self.sql {
            Sql::PostgreSql => {
                let text = format!("postgresql://{user}:{password}@{host}:{port}/{database}?sslmode={tls}{more}");
                reader::trigger("postgresql", &[("query", query), ("targetQueryValue", "1")], &with(("connection", &text)))
            }
            Sql::MariaDb => {
                let text = format!("{user}:{password}@tcp({host}:{port})/{database}?tls={tls}{more}");
                reader::trigger("mysql", &[("query", query), ("queryValue", "1")], &with(("connectionString", &text)))
            }
        }
    }

    /// A trigger with the login in its parts.
    fn trigger_of_parts(&self, query: &str) -> Result<Trigger> {
        let Login { host, port, user, password, database, tls } = self.login();
        let port = port.to_string();
        let mut metadata = vec![("query", query), ("host", host), ("port", &port), ("dbName", database)];
        let kind = match self.sql {
            Sql::PostgreSql => {
                metadata.extend([("userName", user), ("sslmode", tls), ("targetQueryValue", "1")]);
                "postgresql"
            }
            Sql::MariaDb => {
                metadata.extend([("username", user), ("queryValue", "1")]);
                "mysql"
            }
        };
        reader::trigger(kind, &metadata, &[("password", password)])
    }
}

async fn scenes(sql: Sql) -> Result<()> {
    let stage = Stage::new(sql).await?;
    queries_give_numbers(&stage).await?;
    mistakes_are_told_without_secrets(&stage).await?;
    a_slow_query_is_called_back(&stage).await?;
    an_outage_is_stale_and_then_over(&stage).await?;
    match sql {
        Sql::PostgreSql => sslmodes_are_those_of_libpq(&stage).await,
        Sql::MariaDb => tls_is_asked_for_in_four_ways(&stage).await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_read_as_it_is() -> Result<()> {
    scenes(Sql::PostgreSql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_is_read_as_it_is() -> Result<()> {
    scenes(Sql::MariaDb).await
}

async fn queries_give_numbers(stage: &Stage) -> Result<()> {
    let (mut reader, login) = (Reader::new(), stage.login());
    let (user, ..) = Database::users();
    stage.database.execute(&format!(
        "CREATE TABLE jobs (state VARCHAR(10)); INSERT INTO jobs VALUES ('open'), ('open'), ('open'), ('done'); {}",
        if stage.sql == Sql::PostgreSql { format!("GRANT ALL ON jobs TO {user}") } else { String::new() }
    ))?;
    let open = "SELECT COUNT(*) FROM jobs WHERE state = 'open'";
    let id = reader.set(stage.trigger(&login, open)?);
    let is = |number: i64| move |reading: &Reading| sample(reading).filter(|sample| sample.metric == MetricMilli(number * 1000));
    reader.until(id, "three open jobs", is(3)).await?;
    reader.metric(stage.trigger_of_parts(open)?, 3).await.context("by a login in parts")?;
    // The same trigger sees what others write.
    stage.database.execute("INSERT INTO jobs VALUES ('open')")?;
    reader.until(id, "four open jobs", is(4)).await?;
    for (query, number) in [
        ("SELECT 12.0", 12),
        ("SELECT '7'", 7),
        ("SELECT 5, 'and more' UNION ALL SELECT 6, 'rows'", 5),
        ("SELECT COALESCE(SUM(1), 0) FROM jobs WHERE state = 'none'", 0),
        ("SELECT -3", 0),
    ] {
        reader.metric(stage.trigger(&login, query)?, number).await.with_context(|| format!("the query {query}"))?;
    }
    // However many triggers there are, one user of one database has one connection.
    let connections = match stage.sql {
        Sql::PostgreSql => format!("SELECT COUNT(*) FROM pg_stat_activity WHERE usename = '{user}'"),
        Sql::MariaDb => format!("SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{user}'"),
    };
    let mut beside = Vec::new();
    for number in 0..20 {
        beside.push(reader.set(stage.trigger(&login, &format!("SELECT {number}"))?));
    }
    for (number, id) in (0..).zip(&beside) {
        reader.until(*id, "its own number", is(number)).await?;
    }
    // Of the same poller, so that it is the same connection.
    let counted = reader.set(stage.trigger(&login, &connections)?);
    reader.until(counted, "one connection", is(1)).await?;
    for id in beside.into_iter().chain([id, counted]) {
        reader.poller.remove(id);
    }
    Ok(())
}

async fn mistakes_are_told_without_secrets(stage: &Stage) -> Result<()> {
    let (mut reader, login) = (Reader::new(), stage.login());
    let beside = reader.set(stage.trigger(&login, "SELECT 1")?);
    for (query, part) in [
        ("SELECT state FROM jobs WHERE state = 'none'", "no rows"),
        ("SELECT NULL", "NULL"),
        ("SELECT 'many'", "\"many\", which is no number"),
        ("SELECT COUNT(*) FROM nowhere", "nowhere"),
        ("SELEKT 1", "syntax"),
    ] {
        let error = reader.failure(stage.trigger(&login, query)?).await?;
        ensure!(error.contains(part) && error.contains("asked for the query"), "{query} reads: {error}");
    }
    let next = reader.until(beside, "the next reading", |reading| Some(reading.clone())).await?;
    ensure!(sample(&next).is_some(), "beside mistakes: {next:?}");
    let error = reader.failure(stage.trigger(&Login { password: "not-the-word", ..stage.login() }, "SELECT 1")?).await?;
    ensure!(error.contains("refuses the login") && !error.contains("not-the-word"), "a wrong password reads: {error}");
    let error = reader.failure(stage.trigger(&Login { database: "nowhere", ..stage.login() }, "SELECT 1")?).await?;
    // MariaDB tells nobody which databases there are that are not his.
    ensure!(error.contains("does not exist") || error.contains("refuses the login"), "a missing database reads: {error}");
    Ok(())
}

async fn a_slow_query_is_called_back(stage: &Stage) -> Result<()> {
    let (mut reader, login) = (Reader::new(), stage.login());
    let slow = match stage.sql {
        Sql::PostgreSql => "SELECT 1 FROM pg_sleep(600)",
        // Asleep, MariaDB notices by itself that nobody listens any more.
        Sql::MariaDb => "SELECT BENCHMARK(1000000000000, 1 + 1)",
    };
    let id = reader.set(stage.trigger(&login, slow)?);
    let error = reader.until(id, "that it is slow", |reading| reading.failure().map(|(error, _)| error.to_owned())).await?;
    ensure!(error.contains("did not answer within 1000 ms"), "a slow query reads: {error}");
    reader.metric(stage.trigger(&login, "SELECT 5")?, 5).await.context("beside a slow query")?;
    reader.poller.remove(id);
    let running = match stage.sql {
        Sql::PostgreSql => {
            "SELECT COUNT(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%sleep%' AND pid <> pg_backend_pid()"
        }
        Sql::MariaDb => "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%benchmark%' AND id <> CONNECTION_ID()",
    };
    reader.metric(stage.trigger(&login, running)?, 0).await.context("nothing runs that nobody waits for")?;
    Ok(())
}

async fn an_outage_is_stale_and_then_over(stage: &Stage) -> Result<()> {
    let mut reader = Reader::new();
    let line = TcpProxy::start(stage.database.address()).await?;
    let login = Login { port: line.address().port(), ..stage.login() };
    let id = reader.set(stage.trigger(&login, "SELECT COUNT(*) FROM jobs WHERE state = 'done'")?);
    let is = |number: i64| move |sample: &Sample| sample.metric == MetricMilli(number * 1000);
    let one = |reading: &Reading| sample(reading).filter(is(1));
    let stale =
        |reading: &Reading| if let Reading::Stale { last, error, .. } = reading { is(1)(last).then(|| error.clone()) } else { None };
    reader.until(id, "a value through the line", one).await?;
    line.close();
    let error = reader.until(id, "the last value as stale", stale).await?;
    ensure!(error.contains("127.0.0.1") && !error.contains(login.password), "a cut line reads: {error}");
    line.open();
    reader.until(id, "a value after the outage", one).await?;
    // A connection that is cut and can be made anew at once is nothing to speak of.
    line.cut();
    let next = reader.until(id, "the next reading", |reading| Some(reading.clone())).await?;
    ensure!(sample(&next).is_some(), "a connection that was cut once reads: {next:?}");
    // The database hangs: it keeps its connections and answers nothing.
    stage.database.pause()?;
    let error = reader.until(id, "the last value as stale", stale).await?;
    ensure!(error.contains("did not answer within 1000 ms"), "a database that hangs reads: {error}");
    stage.database.resume()?;
    reader.until(id, "a value after the database hung", one).await?;
    stage.database.execute("INSERT INTO jobs VALUES ('done')")?;
    reader.until(id, "one more", |reading| sample(reading).filter(is(2))).await?;
    Ok(())
}

async fn sslmodes_are_those_of_libpq(stage: &Stage) -> Result<()> {
    let mut reader = Reader::new();
    let (_, careful, _) = Database::users();
    let authority = format!("&sslrootcert={}", stage.database.authority_file().display());
    let given = stage.database.authority()?;
    let encrypted = "SELECT COUNT(*) FROM pg_stat_ssl WHERE ssl AND pid = pg_backend_pid()";
    // The mode, the host, more of the connection; whether it is encrypted, or a part of the error. The certificate is for localhost.
    type Case<'a> = (&'a str, &'a str, &'a str, Result<i64, &'a str>);
    let cases: &[Case<'_>] = &[
        ("disable", "127.0.0.1", "", Err("refuses the login")),
        ("allow", "127.0.0.1", "", Ok(1)),
        ("prefer", "127.0.0.1", "", Ok(1)),
        ("require", "127.0.0.1", "", Ok(1)),
        ("require", "127.0.0.1", &authority, Ok(1)),
        ("verify-ca", "127.0.0.1", "", Err("UnknownIssuer")),
        ("verify-ca", "127.0.0.1", &authority, Ok(1)),
        ("verify-full", "127.0.0.1", &authority, Err("not valid for name")),
        ("verify-full", "localhost", "", Err("UnknownIssuer")),
        ("verify-full", "localhost", &authority, Ok(1)),
        ("verify-full", "localhost", "&sslrootcert=/nowhere.pem", Err("sslrootcert")),
    ];
    for (mode, host, more, expected) in cases {
        let login = Login { user: careful, tls: mode, host, ..stage.login() };
        let trigger = stage.trigger_with(&login, encrypted, more, &[])?;
        match expected {
            Ok(number) => _ = reader.metric(trigger, *number).await.with_context(|| format!("{mode} at {host} with {more:?}"))?,
            Err(part) => {
                let error = reader.failure(trigger).await.with_context(|| format!("{mode} at {host} with {more:?}"))?;
                ensure!(error.contains(part) && !error.contains(login.password), "{mode} at {host} with {more:?} reads: {error}");
            }
        }
    }
    // As a text in place of a file, it is the same.
    let login = |host, tls| Login { user: careful, host, tls, ..stage.login() };
    let at_home = stage.trigger_with(&login("localhost", "verify-full"), encrypted, "", &[("ca", &given)])?;
    reader.metric(at_home, 1).await.context("verify-full with ca")?;
    let error = reader.failure(stage.trigger_with(&login("127.0.0.1", "verify-full"), encrypted, "", &[("ca", &given)])?).await?;
    ensure!(error.contains("not valid for name"), "another name with ca reads: {error}");
    for mode in ["disable", "allow"] {
        reader
            .metric(stage.trigger(&Login { tls: mode, ..stage.login() }, encrypted)?, 0)
            .await
            .context("without TLS where that is taken")?;
    }
    Ok(())
}

async fn tls_is_asked_for_in_four_ways(stage: &Stage) -> Result<()> {
    let mut reader = Reader::new();
    let (_, careful, _) = Database::users();
    let encrypted = "SELECT variable_value <> '' FROM information_schema.session_status WHERE variable_name = 'Ssl_cipher'";
    let authority = stage.database.authority()?;
    let ca: &[(&str, &str)] = &[("ca", &authority)];
    // What the text asks for, the host, the authentication; whether it is encrypted, or a part of the error. The certificate is for localhost.
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], Result<i64, &'a str>);
    let cases: &[Case<'_>] = &[
        ("false", "localhost", &[], Err("refuses the login")),
        ("skip-verify", "localhost", &[], Ok(1)),
        ("preferred", "localhost", &[], Ok(1)),
        ("true", "localhost", &[], Err("UnknownIssuer")),
        ("true", "localhost", ca, Ok(1)),
        ("true", "127.0.0.1", ca, Err("not valid for name")),
        ("false", "localhost", ca, Ok(1)),
        ("true", "localhost", &[("ca", "no certificate")], Err("ca is not usable")),
    ];
    for (tls, host, auth, expected) in cases {
        let trigger = stage.trigger_with(&Login { user: careful, tls, host, ..stage.login() }, encrypted, "", auth)?;
        match expected {
            Ok(number) => _ = reader.metric(trigger, *number).await.with_context(|| format!("tls={tls} at {host}"))?,
            Err(part) => {
                let error = reader.failure(trigger).await?;
                ensure!(error.contains(part), "tls={tls} at {host} reads: {error}");
            }
        }
    }
    reader.metric(stage.trigger(&stage.login(), encrypted)?, 0).await.context("without TLS where that is taken")?;
    // Variables of the session are set as the text says.
    let zone = stage.trigger_with(&stage.login(), "SELECT @@lc_time_names = 'de_DE'", "&lc_time_names=%27de_DE%27", &[])?;
    reader.metric(zone, 1).await.context("a variable")?;
    Ok(())
}
