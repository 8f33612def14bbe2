//! A cluster of Kafka brokers, what is asked of it, and the parameters that all kinds that read from one have in common.

use springtide_core::units::MetricMilli;

use crate::broker::Broker;
use crate::field::{Amount, List, choice};
use crate::kafka::lag::{Bound, Counted, Rules, Shares, Uncommitted};
use crate::kafka::partitions::Partitions;
use crate::kind::{Parsed, TargetKey, activation, target};
use crate::oauth2::Issuer;
use crate::parameter::{Fields, Parameter, parameters};
use crate::secret::Secret;
use crate::tls::{Check, Identity, Tls, UseTls};

/// What each kind that reads from Kafka can be told of what it reads.
pub(crate) const PARAMETERS: &[Parameter] = Said::PARAMETERS;

/// What each of them can be told of certificates and its user.
pub(crate) const LOGIN_PARAMETERS: &[Parameter] = SaidOfLogin::PARAMETERS;

pub(crate) const LAG_THRESHOLD: TargetKey =
    TargetKey { parameter: target("lagThreshold", "The target: messages of lag for each replica, a whole number."), companion: None };

/// The target where none is given, as in KEDA.
const DEFAULT_THRESHOLD: i64 = 10;

/// Thousandths in one.
const MILLI: i64 = 1000;

pub(crate) const DEFAULT_TARGET: MetricMilli = MetricMilli(DEFAULT_THRESHOLD * MILLI);

pub(crate) const ACTIVATION: Parameter = activation("activationLagThreshold");

choice! {
    /// Where a group begins that has committed nothing.
    enum Policy {
        /// At the end.
        Latest = "latest",
        /// At the beginning.
        Earliest = "earliest",
    }
}

parameters! {
    /// What a trigger says of what it reads.
    struct Said, draft DraftOfSaid {
        /// One or several brokers of the cluster as host:port, separated by commas; the others are found through them.
        servers: List = "bootstrapServers", from Metadata Environment;
        /// The consumer group whose lag is read.
        group: String = "consumerGroup", from Metadata Environment;
        /// The topic, or several, separated by commas; without it, all topics that the group has committed offsets of.
        topics: Option<List> = "topic", from Metadata Environment;
        /// Which partitions of the topic count; without a topic it is passed over.
        partitions: Option<Partitions> = "partitionLimitation", from Metadata;
        /// Where the group begins on a partition of which it has committed no offset: with latest such a partition counts as one message, with earliest as all its messages.
        policy: Policy = "offsetResetPolicy", from Metadata, default "latest";
        /// Whether there may be more replicas than partitions.
        allow_idle: bool = "allowIdleConsumers", from Metadata, default "false";
        /// Whether to leave out partitions on which the group has committed nothing new since the last poll.
        exclude_persistent: bool = "excludePersistentLag", from Metadata, default "false";
        /// Whether a partition of which the group has committed no offset counts as nothing.
        zero_on_invalid: bool = "scaleToZeroOnInvalidOffset", from Metadata, default "false";
        /// Whether there may only be as many replicas as there are partitions with lag.
        limit_to_lagging: bool = "limitToPartitionsWithLag", from Metadata, default "false";
        /// Whether the number of replicas has to divide the number of partitions.
        ensure_even: bool = "ensureEvenDistributionOfPartitions", from Metadata, default "false";
    }
}

parameters! {
    /// What a trigger says of certificates and its user.
    struct SaidOfLogin, draft DraftOfLogin {
        /// Whether the brokers are spoken to over TLS.
        tls: UseTls = "tls", from Metadata Auth, default "disable";
        /// The authority that signed the brokers' certificates, as PEM.
        ca: Option<Secret> = "ca", from Auth;
        /// Our certificate, as PEM; together with key.
        cert: Option<Secret> = "cert", from Auth;
        /// Our certificate's key, as PEM.
        key: Option<Secret> = "key", from Auth;
        /// The password of the key, if it is encrypted (PKCS #8).
        key_password: Option<Secret> = "keyPassword", from Auth;
        /// The user; with oauthbearer, our name at the token's issuer.
        username: Option<Secret> = "username", from Auth;
        /// The user's password; with oauthbearer, our secret at the token's issuer.
        password: Option<Secret> = "password", from Auth;
    }
}

/// A cluster, and who we are to it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cluster {
    /// As host:port.
    pub servers: Vec<String>,
    /// None where the brokers are spoken to in the open.
    pub tls: Option<Tls>,
    pub login: Login,
}

/// How we say who we are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Login {
    /// Not at all, or by the certificate that TLS shows.
    None,
    /// By a user and a password.
    Password { mechanism: &'static str, user: Secret, password: Secret },
    /// By a token, with extensions that go with it.
    Token(Issuer, Vec<(String, String)>),
}

/// A group's lag.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Query {
    pub group: String,
    pub topics: Topics,
    pub rules: Rules,
}

/// Which topics and partitions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Topics {
    /// All of which the group has committed offsets.
    Committed,
    /// These, each once and sorted, and of each all partitions or some.
    Named(Vec<String>, Option<Partitions>),
}

impl Broker for Cluster {
    type Query = Query;

    fn address(&self) -> String {
        format!("Kafka at {}", self.servers.join(","))
    }

    /// However many groups: about the cluster, about what was committed, and about ends. Each other broker of the cluster has fewer.
    fn requests(&self, _: usize) -> usize {
        3
    }
}

/// What all kinds read alike of certificates and the user, so far as it could be read.
pub(crate) struct Access {
    pub tls: Option<Tls>,
    pub username: Option<Secret>,
    pub password: Option<Secret>,
}

impl Access {
    /// Reads it. None leaves a problem behind.
    pub(crate) fn read(fields: &mut Fields<'_>, check: Check) -> Option<Self> {
        let draft = DraftOfLogin::read(fields);
        let is_given = |field: &Option<Option<Secret>>| matches!(field, Some(Some(_)));
        if draft.tls == Some(UseTls::Enable) && is_given(&draft.cert) != is_given(&draft.key) {
            let missing = if is_given(&draft.cert) { "key" } else { "cert" };
            fields.problem(missing, "is missing: cert and key must be given together", "give both, or neither");
        }
        let SaidOfLogin { tls, ca, cert, key, key_password, username, password } = draft.finish()?;
        let identity = cert.zip(key).map(|(certificate, key)| Identity { certificate, key, key_password });
        let tls = (tls == UseTls::Enable).then_some(Tls { authority: ca, identity, check });
        Some(Self { tls, username, password })
    }

    /// User and password, or a problem for each that is missing.
    pub(crate) fn pair(&self, fields: &mut Fields<'_>) -> Option<(Secret, Secret)> {
        for (given, name) in [(&self.username, "username"), (&self.password, "password")] {
            if given.is_none() {
                fields.problem(name, "is missing: this sasl mechanism needs username and password", "give it in the TriggerAuthentication");
            }
        }
        self.username.clone().zip(self.password.clone())
    }

    /// The login by user and password.
    pub(crate) fn by_password(&self, mechanism: &'static str, fields: &mut Fields<'_>) -> Option<Login> {
        self.pair(fields).map(|(user, password)| Login::Password { mechanism, user, password })
    }
}

/// Which of KEDA's two kinds for Kafka is read: what they refuse differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Kafka,
    ApacheKafka,
}

/// What a trigger reads, before it is known where.
pub(crate) struct Subject {
    said: Said,
    threshold: i64,
}

impl Subject {
    /// Reads it. None leaves a problem behind.
    pub(crate) fn read(fields: &mut Fields<'_>, dialect: Dialect) -> Option<Self> {
        let draft = DraftOfSaid::read(fields);
        let (idle, limit, even) = (draft.allow_idle == Some(true), draft.limit_to_lagging == Some(true), draft.ensure_even == Some(true));
        if idle && limit {
            fields.problem(
                "allowIdleConsumers",
                "cannot be set together with limitToPartitionsWithLag",
                "decide whether replicas may be idle, and remove the other",
            );
        }
        if draft.servers.as_ref().is_some_and(|List(servers)| servers.is_empty()) {
            fields.problem("bootstrapServers", "names no broker", "write host:port, several separated by commas");
        }
        for server in draft.servers.iter().flat_map(|List(servers)| servers) {
            if address(server).is_none() {
                fields.problem("bootstrapServers", "has a part that is no host:port", "write host:port, several separated by commas");
            }
        }
        if limit && draft.has_no_topic() {
            fields.problem("topic", "must be specified when using limitToPartitionsWithLag", "name the topic");
        }
        if dialect == Dialect::Kafka && even && limit {
            fields.problem(
                "ensureEvenDistributionOfPartitions",
                "cannot be set together with limitToPartitionsWithLag",
                "decide what bounds the replicas, and remove the other",
            );
        }
        if dialect == Dialect::Kafka && even && draft.has_no_topic() {
            fields.problem("topic", "must be specified when using ensureEvenDistributionOfPartitions", "name the topic");
        }
        let threshold = whole(fields, &LAG_THRESHOLD.parameter, 1, "should be a whole number, 1 or greater");
        whole(fields, &ACTIVATION, 0, "should be a whole number, 0 or greater");
        let said = draft.finish()?;
        Some(Self { said, threshold: threshold? })
    }

    /// Whether all topics of the group are meant.
    pub(crate) fn has_no_topic(&self) -> bool {
        self.said.topics.as_ref().is_none_or(|List(topics)| topics.is_empty())
    }

    /// The trigger that it is at a cluster.
    pub(crate) fn at(self, tls: Option<Tls>, login: Login) -> Parsed {
        let rules = self.rules();
        let Said { servers: List(servers), group, topics, partitions, .. } = self.said;
        let named = topics.map(|List(topics)| topics).filter(|topics| !topics.is_empty());
        let (topics, name) = match named {
            None => (Topics::Committed, format!("kafka-{group}-topics")),
            Some(mut topics) => {
                let name = format!("kafka-{}", topics.join(","));
                topics.sort_unstable();
                topics.dedup();
                (Topics::Named(topics, partitions), name)
            }
        };
        Parsed::new(Cluster { servers, tls, login }, Query { group, topics, rules }, name)
    }

    fn rules(&self) -> Rules {
        let said = &self.said;
        let uncommitted = match (said.zero_on_invalid, said.policy) {
            (true, _) => Uncommitted::Nothing,
            (false, Policy::Latest) => Uncommitted::One,
            (false, Policy::Earliest) => Uncommitted::All,
        };
        let bound = match (said.limit_to_lagging, said.ensure_even, said.allow_idle) {
            (true, ..) => Bound::Lagging,
            (false, false, true) => Bound::None,
            (false, ..) => Bound::Partitions,
        };
        Rules {
            uncommitted,
            counted: if said.exclude_persistent { Counted::Moving } else { Counted::All },
            shares: if said.ensure_even { Shares::Even } else { Shares::Any },
            bound,
            threshold: self.threshold,
        }
    }
}

impl DraftOfSaid {
    fn has_no_topic(&self) -> bool {
        self.topics.as_ref().is_some_and(|topics| topics.as_ref().is_none_or(|List(topics)| topics.is_empty()))
    }
}

/// A target or activation value that has to be whole. What is no number at all, or a negative target, is a problem that the kind finds by itself.
fn whole(fields: &mut Fields<'_>, parameter: &Parameter, least: i64, what: &str) -> Option<i64> {
    let Some(Amount(number)) = fields.look::<Option<Amount>>(parameter)? else { return Some(DEFAULT_THRESHOLD) };
    let (count, rest) = (number.0 / MILLI, number.0 % MILLI);
    let is_told_of_by_the_kind = parameter.default.is_none() && number.0 < 0;
    if is_told_of_by_the_kind {
        return None;
    }
    if rest != 0 || count < least {
        fields.problem(parameter.name, format!("is {number}; it {what}"), "write such a number");
        return None;
    }
    Some(count)
}

/// Host and port of a broker's address. The port is 9092 where it is left out, and an IPv6 address stands in brackets.
pub(crate) fn address(text: &str) -> Option<(&str, u16)> {
    const PORT: u16 = 9092;
    let after_host = text.rfind(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match text.get(after_host..)?.rfind(':') {
        Some(colon) => {
            let (host, port) = text.split_at(after_host + colon);
            (host, port.get(1..)?.parse().ok()?)
        }
        None => (text, PORT),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_host = !host.is_empty() && !host.contains(['/', '@', '[', ']', ' ']);
    is_host.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses_are_hosts_with_ports() {
        for (text, found) in [
            ("kafka:9093", Some(("kafka", 9093))),
            ("kafka", Some(("kafka", 9092))),
            ("[::1]:9093", Some(("::1", 9093))),
            ("[::1]", Some(("::1", 9092))),
            ("kafka:", None),
            (":9092", None),
            ("kafka:99999", None),
            ("kafka://kafka:9092", None),
            ("user@kafka:9092", None),
            ("]a:1", None),
        ] {
            assert_eq!(address(text), found, "{text}");
        }
    }
}
