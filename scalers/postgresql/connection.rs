//! Connection texts of PostgreSQL, in both forms that libpq reads: a URL, and names with texts.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::SslMode;
use crate::parameter::{Field, Misfit};
use crate::secret::Secret;
use crate::sql::Port;

/// What of PostgreSQL's client in KEDA is told here and means nothing to ours.
const IGNORED: [&str; 6] =
    ["default_query_exec_mode", "statement_cache_capacity", "description_cache_capacity", "min_read_buffer_size", "sslsni", "gssencmode"];

/// What cannot be read here: files of a machine, and logins by Kerberos.
const REFUSED: [&str; 5] = ["passfile", "service", "servicefile", "krbsrvname", "krbspn"];

/// A database, how it is reached, and who we are to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Connection {
    /// Servers in the order in which they are tried.
    pub hosts: Vec<(String, Port)>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub database: Option<String>,
    pub ssl_mode: SslMode,
    /// Who signed the server's certificate, as PEM, besides the machine's authorities.
    pub authority: Option<Secret>,
    /// Files with PEM texts: such an authority, our certificate, its key.
    pub authority_file: Option<String>,
    pub certificate: Option<String>,
    pub key: Option<String>,
    pub key_password: Option<Secret>,
    pub timeout: Option<Duration>,
    pub session: Session,
    /// Settings of the server for this session, by name.
    pub settings: Vec<(String, String)>,
}

/// Which of several servers is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Session {
    Any,
    /// One that takes writes.
    ReadWrite,
    /// One that takes none.
    ReadOnly,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            user: None,
            password: None,
            database: None,
            ssl_mode: SslMode::Prefer,
            authority: None,
            authority_file: None,
            certificate: None,
            key: None,
            key_password: None,
            timeout: None,
            session: Session::Any,
            settings: Vec::new(),
        }
    }
}

impl Field for Connection {
    const VALUE: &'static str = "postgresql://user:password@host:5432/database?sslmode=require, or host=... user=... dbname=...";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, Misfit> {
        let pairs = match text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
            Some(rest) => of_url(rest),
            None => of_words(text),
        };
        let misfit = |what: String| Misfit::new(what, format!("write {}", Self::VALUE));
        let mut connection = Self::default();
        let (mut hosts, mut ports) = (Vec::new(), Vec::new());
        for (name, text) in pairs.map_err(misfit)? {
            let list = |text: &str| text.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>();
            match name.as_str() {
                _ if text.is_empty() => {}
                "host" | "hostaddr" => hosts = list(&text),
                "port" => ports = list(&text),
                _ => connection.set(name, text).map_err(misfit)?,
            }
        }
        connection.hosts = paired(hosts, &ports).map_err(misfit)?;
        Ok(connection)
    }
}

/// Hosts with their ports: one for each, or one for all.
fn paired(hosts: Vec<String>, ports: &[String]) -> Result<Vec<(String, Port)>, String> {
    if hosts.is_empty() {
        return Err("names no host".to_owned());
    }
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err(format!("has {} hosts and {} ports", hosts.len(), ports.len()));
    }
    let port = |place: usize| -> Result<Port, String> {
        let text = ports.get(place).or_else(|| ports.first()).map(String::as_str).filter(|text| !text.is_empty()).unwrap_or("5432");
        // Only a number is sure to be no part of a password.
        if text.parse::<u16>().is_ok() { Ok(Port(text.to_owned())) } else { Err("has a port that is no number up to 65535".to_owned()) }
    };
    hosts.into_iter().enumerate().map(|(place, host)| Ok((host, port(place)?))).collect()
}

/// The pairs of a URL, after its scheme. The error is the rest of a sentence.
fn of_url(text: &str) -> Result<Vec<(String, String)>, String> {
    let (text, query) = text.split_once('?').unwrap_or((text, ""));
    let (authority, database) = text.split_once('/').unwrap_or((text, ""));
    if database.contains('@') {
        return Err("has an @ after its first slash; percent-encode special characters of user and password".to_owned());
    }
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let decoded = |text: &str| {
        percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(|_| "has a percent-encoded part that is no text".to_owned())
    };
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        // An address of IPv6 has colons of its own, in brackets.
        let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, rest)) => (name, rest.strip_prefix(':').unwrap_or(rest)),
            None => host.split_once(':').unwrap_or((host, "")),
        };
        names.push(decoded(name)?);
        ports.push(if port.is_empty() { "5432" } else { port }.to_owned());
    }
    let mut pairs = vec![("host".to_owned(), names.join(",")), ("port".to_owned(), ports.join(","))];
    for (name, text) in [("user", user), ("password", password), ("dbname", database)] {
        pairs.push((name.to_owned(), decoded(text)?));
    }
    for item in query.split('&').filter(|item| !item.is_empty()) {
        let (name, text) = item.split_once('=').ok_or("has a parameter without a text")?;
        pairs.push((decoded(name)?, decoded(text)?));
    }
    Ok(pairs)
}

/// The pairs of names with texts: `name=text name='text with spaces'`, with a backslash before a quote or a backslash.
fn of_words(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut letters = text.chars().peekable();
    let mut pairs = Vec::new();
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        if letters.peek().is_none() {
            return Ok(pairs);
        }
        let mut name = String::new();
        while let Some(letter) = letters.next_if(|letter| *letter != '=') {
            name.push(letter);
        }
        if letters.next().is_none() || name.trim().is_empty() {
            return Err("is neither a postgresql:// URL nor made of name=text".to_owned());
        }
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        let quoted = letters.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match letters.next() {
                Some('\\') => value.extend(letters.next()),
                Some('\'') if quoted => break,
                Some(letter) if !quoted && letter.is_whitespace() => break,
                Some(letter) => value.push(letter),
                None if quoted => return Err("has a quote that does not end".to_owned()),
                None => break,
            }
        }
        pairs.push((name.trim().to_owned(), value));
    }
}

impl Connection {
    /// Where it is, for people.
    pub(super) fn address(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(|(host, Port(port))| format!("{host}:{port}")).collect();
        let database = self.database.as_ref().map(|database| format!(" (database {database})")).unwrap_or_default();
        format!("PostgreSQL at {}{database}", hosts.join(","))
    }

    /// Takes one pair. The error is the rest of a sentence, and repeats no text.
    fn set(&mut self, name: String, text: String) -> Result<(), String> {
        match name.as_str() {
            "user" => self.user = Some(text),
            "password" => self.password = Some(Secret::from(text)),
            "dbname" | "database" => self.database = Some(text),
            "sslmode" => self.ssl_mode = SslMode::parse(&text).map_err(|misfit| format!("has an sslmode that {}", misfit.what))?,
            "sslrootcert" if text == "system" => {}
            "sslrootcert" => self.authority_file = Some(text),
            "sslcert" => self.certificate = Some(text),
            "sslkey" => self.key = Some(text),
            "sslpassword" => self.key_password = Some(Secret::from(text)),
            "connect_timeout" => {
                let seconds = text.parse::<u64>().map_err(|_| "has a connect_timeout that is no number of seconds")?;
                self.timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
            }
            "target_session_attrs" => {
                self.session = match text.as_str() {
                    "any" => Session::Any,
                    "read-write" | "primary" => Session::ReadWrite,
                    "read-only" | "standby" => Session::ReadOnly,
                    _ => return Err("has a target_session_attrs other than any, read-write, read-only, primary and standby".to_owned()),
                };
            }
            name if IGNORED.contains(&name) => {}
            name if REFUSED.contains(&name) => return Err(format!("has {name}, which is not read here")),
            _ if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.')) => {
                return Err("has a name that no setting has; put quotes around texts with spaces".to_owned());
            }
            _ => self.settings.push((name, text)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(text: &str) -> Port {
        Port(text.to_owned())
    }

    #[test]
    fn both_forms_are_read() {
        let url = Connection::parse("postgresql://jo%40corp:p%2Fw@one:5433,[::1],three/orders?sslmode=verify-full&connect_timeout=5")
            .expect("a URL");
        assert_eq!(url.hosts, [("one".to_owned(), port("5433")), ("::1".to_owned(), port("5432")), ("three".to_owned(), port("5432"))]);
        assert_eq!((url.user.as_deref(), url.password), (Some("jo@corp"), Some(Secret::from("p/w"))));
        assert_eq!(
            (url.database.as_deref(), url.ssl_mode, url.timeout),
            (Some("orders"), SslMode::VerifyFull, Some(Duration::from_secs(5)))
        );
        let words =
            Connection::parse(r"host=one,two port = 5433 user=jo password='a=b c' dbname='a \'b\\ c' search_path=x").expect("words");
        assert_eq!(words.hosts, [("one".to_owned(), port("5433")), ("two".to_owned(), port("5433"))]);
        assert_eq!((words.password, words.database.as_deref()), (Some(Secret::from("a=b c")), Some(r"a 'b\ c")));
        assert_eq!((words.ssl_mode, words.settings), (SslMode::Prefer, vec![("search_path".to_owned(), "x".to_owned())]));
        let bare = Connection::parse("postgres://h").expect("a host is enough");
        assert_eq!((bare.hosts, bare.user, bare.database), (vec![("h".to_owned(), port("5432"))], None, None));
    }

    #[test]
    fn what_is_no_connection_says_why_without_its_text() {
        for (text, part) in [
            ("s3cret", "neither a postgresql:// URL nor"),
            ("user=s3cret", "names no host"),
            ("postgresql://u:1/s3cret@h/d", "percent-encode"),
            ("postgresql://u:s3cret/d", "port that is no number"),
            ("postgresql://u:s3cret@h/d?sslmode=s3cret", "sslmode that must be one of"),
            ("host=a,b,c port=1,2 password=s3cret", "3 hosts and 2 ports"),
            ("host=h password='s3cret", "a quote that does not end"),
            ("host=h password=s3 cret=x y=1", "neither"),
            ("host=h password='a''s3cret' user=u", "a name that no setting has"),
            ("host=h passfile=s3cret", "passfile"),
            ("host=h target_session_attrs=s3cret", "target_session_attrs"),
            ("postgresql://u:%FF@h/s3cret", "no text"),
            ("postgresql://h/d?s3cret", "without a text"),
            ("host=h connect_timeout=s3cret", "no number of seconds"),
        ] {
            match Connection::parse(text) {
                Err(Misfit { what, remedy }) => {
                    assert!(what.contains(part) && !what.contains("s3cret") && !remedy.contains("s3cret"), "{text}: {what}");
                }
                Ok(read) => assert_eq!((text, read.settings.len()), ("host=h password=s3 cret=x y=1", 2)),
            }
        }
    }
}
