//! What a MySQL trigger accepts, as a table. What it reads, real servers show.

use springtide_core::units::MetricMilli;

use crate::trial::{self, Row};
use crate::{ResolvedEnv, Secret};

const ROWS: &[Row] = &[
    ("", "", &["host", "query", "queryValue"]),
    ("query=q queryValue=5 host=h port=3306 username=u dbName=d", "", &[]),
    ("query=q queryValue=5 host=h", "", &[]),
    ("query=q queryValue=5 usernameFromEnv=NAME", "host=h dbName=d password=s3cret", &[]),
    ("query=q queryValue=5 host=h port=3306;", "", &["port"]),
    ("query=q queryValue=5", "connectionString=u:s3cret@tcp(h:3306)/d", &[]),
    ("query=q queryValue=5", "connectionString=s3cret", &["connectionString"]),
    ("query=q queryValue=5 host=h", "ca=s3cret", &[]),
    ("query=q queryValue=x host=h activationQueryValue=x", "", &["activationQueryValue", "queryValue"]),
];

#[test]
fn each_row_is_accepted_or_names_its_problems() {
    trial::judge("mysql", ROWS, &ResolvedEnv::from([("NAME".to_owned(), Secret::from("s3cret"))]));
}

#[test]
fn one_user_of_one_database_is_one_connection() {
    let trigger = |metadata: &str, auth: &str| {
        trial::trigger("mysql", &format!("queryValue=2 {metadata}"), auth, &ResolvedEnv::new()).expect(metadata)
    };
    let one = trigger("query=a", "connectionString=u:s3cret@tcp(h:3306)/d");
    assert_eq!(trigger("query=b", "connectionString=u:s3cret@tcp(h:3306)/d").connection, one.connection);
    assert_eq!(trigger("query=a host=h port=3306 username=u dbName=d", "password=s3cret").connection, one.connection);
    assert_ne!(trigger("query=a", "connectionString=other:s3cret@tcp(h:3306)/d").connection, one.connection);
    assert_eq!((one.target, one.metric_name.as_str()), (MetricMilli(2000), "mysql-d"));
    assert_eq!(trigger("query=a", "connectionString=u@tcp(h)/d?tls=true").metric_name, "mysql-d?tls=true");
    assert_eq!(one.connection.address(), "MySQL at h:3306 (database d)");
    assert!(!format!("{one:?}").contains("s3cret"));
}
