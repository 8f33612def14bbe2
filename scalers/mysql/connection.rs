//! Connection texts of MySQL as Go's client reads them: `user:password@tcp(host:port)/database?name=text`.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::parameter::{Field, Misfit};
use crate::secret::Secret;
use crate::sql::Port;

/// Parameters that are about Go's client, or about what a query for one number has no use for.
const IGNORED: [&str; 16] = [
    "allowAllFiles",
    "allowNativePasswords",
    "allowOldPasswords",
    "charset",
    "checkConnLiveness",
    "clientFoundRows",
    "collation",
    "columnsWithAlias",
    "compress",
    "connectionAttributes",
    "interpolateParams",
    "loc",
    "maxAllowedPacket",
    "multiStatements",
    "parseTime",
    "writeTimeout",
];

/// Parameters that would ask for what is not built here.
const REFUSED: [&str; 3] = ["allowFallbackToPlaintext", "rejectReadOnly", "serverPubKey"];

/// A database, how it is reached, and who we are to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Connection {
    pub place: Place,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub database: Option<String>,
    pub tls: UseTls,
    /// Who signed the server's certificate, as PEM, besides the machine's authorities.
    pub authority: Option<Secret>,
    /// Whether the password may be sent as it is.
    pub cleartext: bool,
    pub timeout: Option<Duration>,
    /// Variables of the server for this session, by name, as SQL writes them.
    pub variables: Vec<(String, String)>,
    /// What metrics are named after: what follows the last slash.
    pub name: String,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Host(String, Port),
    /// A socket's file.
    Socket(String),
}

/// Whether TLS is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum UseTls {
    No,
    /// With a certificate for the server's name, from an authority that is trusted.
    Checked,
    /// With whatever certificate.
    Unchecked,
    /// With whatever certificate, where the server has TLS.
    Preferred,
}

impl Field for Connection {
    const VALUE: &'static str = "user:password@tcp(host:3306)/database";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, Misfit> {
        of_text(text).map_err(|what| Misfit::new(what, format!("write {}", Self::VALUE)))
    }
}

/// The error is the rest of a sentence, and repeats no text.
fn of_text(text: &str) -> Result<Connection, String> {
    let (before, name) = text.rsplit_once('/').ok_or("has no slash before the database")?;
    let (database, parameters) = name.split_once('?').unwrap_or((name, ""));
    let (login, place) = before.rsplit_once('@').map_or((None, before), |(login, place)| (Some(login), place));
    let mut connection = Connection { name: name.to_owned(), ..Connection::at(place_of(place)?) };
    if let Some(login) = login {
        let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
        connection.user = Some(user.to_owned()).filter(|user| !user.is_empty());
        connection.password = password.map(Secret::from);
    }
    connection.database = Some(decoded(database)?).filter(|database| !database.is_empty());
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, text) = parameter.split_once('=').ok_or("has a parameter without a text")?;
        connection.set(name, &decoded(text)?)?;
    }
    Ok(connection)
}

/// `tcp(host:port)`, `unix(file)`, or nothing, which is this machine.
fn place_of(text: &str) -> Result<Place, String> {
    let (network, address) = match text.split_once('(') {
        Some((network, rest)) => (network, rest.strip_suffix(')').ok_or("has a parenthesis that does not end")?),
        None => (text, ""),
    };
    match network {
        "unix" if address.is_empty() => Err("names no socket".to_owned()),
        "unix" => Ok(Place::Socket(address.to_owned())),
        "" | "tcp" => {
            // A scheme is often written where there is none.
            let address = address.split_once("://").map_or(address, |(_, address)| address);
            let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                Some((host, rest)) => (host, rest.strip_prefix(':').unwrap_or(rest)),
                None => address.split_once(':').unwrap_or((address, "")),
            };
            let port =
                Port::parse(if port.is_empty() { "3306" } else { port }).map_err(|misfit| format!("has a port that {}", misfit.what))?;
            Ok(Place::Host(if host.is_empty() { "127.0.0.1" } else { host }.to_owned(), port))
        }
        _ => Err("has neither tcp(host:port) nor unix(file) before its last slash".to_owned()),
    }
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| "has a percent-encoded part that is no text".to_owned())
}

impl Connection {
    /// A server, and nothing else.
    pub(super) const fn at(place: Place) -> Self {
        Self {
            place,
            user: None,
            password: None,
            database: None,
            tls: UseTls::No,
            authority: None,
            cleartext: false,
            timeout: None,
            variables: Vec::new(),
            name: String::new(),
        }
    }

    /// Where it is, for people.
    pub(super) fn address(&self) -> String {
        let database = self.database.as_ref().map(|database| format!(" (database {database})")).unwrap_or_default();
        match &self.place {
            Place::Host(host, Port(port)) => format!("MySQL at {host}:{port}{database}"),
            Place::Socket(file) => format!("MySQL at {file}{database}"),
        }
    }

    fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "tls" => {
                self.tls = match text {
                    "false" => UseTls::No,
                    "true" => UseTls::Checked,
                    "skip-verify" => UseTls::Unchecked,
                    "preferred" => UseTls::Preferred,
                    _ => return Err("has a tls other than true, false, skip-verify and preferred".to_owned()),
                };
            }
            "allowCleartextPasswords" => {
                self.cleartext = bool::parse(text).map_err(|misfit| format!("has an allowCleartextPasswords that {}", misfit.what))?;
            }
            "timeout" | "readTimeout" => {
                let given = Duration::parse(text).map_err(|misfit| format!("has a {name} that {}", misfit.what))?;
                self.timeout = self.timeout.max(Some(given)).filter(|timeout| !timeout.is_zero());
            }
            name if IGNORED.contains(&name) => {}
            name if REFUSED.contains(&name) => return Err(format!("has {name}, which is not read here")),
            _ if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '@')) => {
                return Err("has a parameter with a name that no variable has".to_owned());
            }
            _ => self.variables.push((name.to_owned(), text.to_owned())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: &str) -> Place {
        Place::Host(name.to_owned(), Port(port.to_owned()))
    }

    #[test]
    fn texts_are_taken_apart() {
        let full =
            Connection::parse("jo:p@/w:1@tcp(db.example:3307)/orders?tls=true&readTimeout=5s&timeout=1s&time_zone=%27UTC%27&charset=x");
        let full = full.expect("all of it");
        assert_eq!((full.place, full.user.as_deref()), (host("db.example", "3307"), Some("jo")));
        assert_eq!((full.password, full.database.as_deref()), (Some(Secret::from("p@/w:1")), Some("orders")));
        assert_eq!((full.tls, full.timeout), (UseTls::Checked, Some(Duration::from_secs(5))));
        assert_eq!(full.variables, [("time_zone".to_owned(), "'UTC'".to_owned())]);
        assert_eq!(full.name, "orders?tls=true&readTimeout=5s&timeout=1s&time_zone=%27UTC%27&charset=x");
        for (text, place) in [
            ("/", host("127.0.0.1", "3306")),
            ("tcp/d", host("127.0.0.1", "3306")),
            ("u@tcp([::1]:3307)/d", host("::1", "3307")),
            ("u@tcp(h)/d", host("h", "3306")),
            ("u@tcp(http://h:3306)/d", host("h", "3306")),
            ("u@(h:mysql)/d", host("h", "mysql")),
            ("u@unix(/run/mysqld/mysqld.sock)/d", Place::Socket("/run/mysqld/mysqld.sock".to_owned())),
        ] {
            assert_eq!(Connection::parse(text).expect(text).place, place, "{text}");
        }
    }

    #[test]
    fn what_is_no_connection_says_why_without_its_text() {
        for (text, part) in [
            ("s3cret", "no slash"),
            ("u:s3cret@tcp(h/d", "does not end"),
            ("u:s3cret@udp(h)/d", "neither tcp"),
            ("u:s3cret@h:3306/d", "neither tcp"),
            ("u:s3cret@unix()/d", "no socket"),
            ("u:s3cret@tcp(h:s3 cret)/d", "a port that is no port"),
            ("u@tcp(h)/d?tls=s3cret", "a tls other than"),
            ("u@tcp(h)/d?s3cret", "without a text"),
            ("u@tcp(h)/d?a%20b=s3cret", "no variable"),
            ("u@tcp(h)/%FF", "no text"),
            ("u@tcp(h)/d?timeout=s3cret", "a timeout that"),
            ("u@tcp(h)/d?serverPubKey=s3cret", "serverPubKey"),
        ] {
            let Misfit { what, remedy } = Connection::parse(text).expect_err(text);
            assert!(what.contains(part) && !what.contains("s3cret") && !remedy.contains("s3cret"), "{text}: {what}");
        }
    }
}
