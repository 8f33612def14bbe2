//! What a PostgreSQL trigger accepts, as a table. What it reads, real servers show.

use springtide_core::units::MetricMilli;

use crate::trial::{self, Row};
use crate::{ResolvedEnv, Secret};

const ROWS: &[Row] = &[
    ("", "", &["dbName", "host", "port", "query", "sslmode", "targetQueryValue", "userName"]),
    ("query=q targetQueryValue=5 host=h port=5432 userName=u dbName=d sslmode=require", "", &[]),
    ("query=q targetQueryValue=5.5 host=a,b port=5432 userName=u dbName=d sslmode=verify-full", "password=s3cret", &[]),
    ("query=q targetQueryValue=5", "host=h port=5432 userName=u dbName=d sslmode=disable password=s3cret", &[]),
    ("query=q targetQueryValue=5 host=h port=5432 userName=u dbName=d sslmode=maybe", "", &["sslmode"]),
    ("query=q targetQueryValue=5 host=h port=5432;x userName=u dbName=d sslmode=allow", "", &["port"]),
    ("query=q targetQueryValue=0 host=h port=5432 userName=u dbName=d sslmode=allow", "", &["targetQueryValue"]),
    ("query=q targetQueryValue=5", "connection=postgresql://u:s3cret@h/d", &[]),
    ("query=q targetQueryValue=5", "connection=s3cret", &["connection"]),
    ("query=q targetQueryValue=5 connectionFromEnv=CONNECTION", "", &[]),
    ("query=q targetQueryValue=5 activationTargetQueryValue=x", "connection=postgresql://h", &["activationTargetQueryValue"]),
];

fn environment() -> ResolvedEnv {
    ResolvedEnv::from([("CONNECTION".to_owned(), Secret::from("host=h user=u password='s3cret 1' dbname=d"))])
}

#[test]
fn each_row_is_accepted_or_names_its_problems() {
    trial::judge("postgresql", ROWS, &environment());
}

#[test]
fn one_user_of_one_database_is_one_connection() {
    let trigger = |metadata: &str, auth: &str| {
        trial::trigger("postgresql", &format!("targetQueryValue=2 {metadata}"), auth, &ResolvedEnv::new()).expect(metadata)
    };
    let one = trigger("query=a", "connection=postgresql://u:s3cret@h:5432/d?sslmode=require");
    let other = trigger("query=b", "connection=postgresql://u:s3cret@h:5432/d?sslmode=require");
    assert_eq!(one.connection, other.connection);
    assert_ne!(one.query, other.query);
    assert_eq!(trigger("query=a host=h port=5432 userName=u dbName=d sslmode=require", "password=s3cret").connection, one.connection);
    assert_ne!(trigger("query=a", "connection=postgresql://other:s3cret@h:5432/d?sslmode=require").connection, one.connection);
    assert_eq!((one.target, one.metric_name.as_str()), (MetricMilli(2000), "postgresql"));
    assert_eq!(one.connection.address(), "PostgreSQL at h:5432 (database d)");
    assert!(!format!("{one:?}").contains("s3cret"));
}
