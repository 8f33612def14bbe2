//! Kafka once more, under the name of the second of KEDA's two kinds for it. It reads the same numbers as `kafka`, with other names for some logins.
//!
//! KEDA's two kinds differ where no topic is named: this one counts every topic of the cluster, whoever reads it, and fails where no worker runs, so that it
//! never starts one. Here both count the topics that the group has committed offsets of.

use crate::field::choice;
use crate::kafka::cluster::{self, ACTIVATION, Access, DEFAULT_TARGET, Dialect, LAG_THRESHOLD, Login, Subject};
use crate::kafka::{refuse_amazon, refuse_kerberos};
use crate::kind::{Kind, Parsed};
use crate::parameter::{Fields, parameters};
use crate::tls::Check;

pub(crate) static KIND: Kind = Kind {
    name: "apache-kafka",
    summary: "How many messages a Kafka consumer group is behind, as kafka counts them",
    parameters: &[cluster::PARAMETERS, cluster::LOGIN_PARAMETERS, Metadata::PARAMETERS],
    targets: &[LAG_THRESHOLD],
    default_target: Some(DEFAULT_TARGET),
    activation: Some(ACTIVATION),
    example: &[
        ("bootstrapServers", "kafka.default:9092"),
        ("consumerGroup", "orders"),
        ("topic", "orders,returns"),
        ("lagThreshold", "50"),
    ],
    example_auth: &[("sasl", "scram_sha512"), ("username", "springtide"), ("password", "password")],
    example_more: &[],
    read,
};

choice! {
    /// How a user proves itself.
    enum Mechanism {
        /// Not at all.
        None = "none",
        /// By its password as it is.
        Plain = "plaintext",
        /// By knowing its password.
        ScramSha256 = "scram_sha256",
        /// The same, with a longer hash.
        ScramSha512 = "scram_sha512",
        /// By a Kerberos ticket.
        Gssapi = "gssapi",
        /// By an identity of Amazon's.
        AwsMskIam = "aws_msk_iam",
    }
}

parameters! {
    /// What such a trigger can be told besides.
    struct Metadata, draft Draft {
        /// How the user proves itself.
        sasl: Mechanism = "sasl", from Metadata Auth, default "none";
        /// The region of Amazon's managed Kafka; its logins are not built yet.
        region: Option<String> = "awsRegion", from Metadata;
    }
}

fn read(fields: &mut Fields<'_>) -> Option<Parsed> {
    let subject = Subject::read(fields, Dialect::ApacheKafka);
    let draft = Draft::read(fields);
    let access = Access::read(fields, Check::Certificate);
    for name in ["sasl", "tls"] {
        if fields.is_given_twice(name) {
            fields.problem(name, "stands both in the metadata and in the TriggerAuthentication", "keep one of them");
        }
    }
    let (access, Metadata { sasl, .. }) = (access?, draft.finish()?);
    let login = match sasl {
        Mechanism::None => Some(Login::None),
        Mechanism::Plain => access.by_password("PLAIN", fields),
        Mechanism::ScramSha256 => access.by_password("SCRAM-SHA-256", fields),
        Mechanism::ScramSha512 => access.by_password("SCRAM-SHA-512", fields),
        Mechanism::Gssapi => {
            refuse_kerberos(fields);
            None
        }
        Mechanism::AwsMskIam => {
            refuse_amazon("sasl", fields);
            None
        }
    };
    Some(subject?.at(access.tls, login?))
}
