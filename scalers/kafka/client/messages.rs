//! The questions that brokers are asked, each in one version that brokers since 1.0 understand and in a newer one where it can ask about many groups at once.
//! Their fields are those of Kafka's protocol guide.

use std::collections::BTreeMap;

use super::bytes::{Form, Malformed, Reader, Writer};

/// Which versions of the questions a broker knows, by the question's key: from and to.
#[derive(Debug, Default)]
pub(super) struct Versions(BTreeMap<i16, (i16, i16)>);

impl Versions {
    fn know(&self, key: i16, version: i16) -> bool {
        self.0.get(&key).is_some_and(|(from, to)| (*from..=*to).contains(&version))
    }

    /// Whether coordinators and offsets of many groups can be asked for at once: since Kafka 3.0.
    pub(super) fn join_groups(&self) -> bool {
        self.know(FindCoordinator::KEY, FindCoordinator::JOINED) && self.know(OffsetFetch::KEY, OffsetFetch::JOINED)
    }

    /// Whether a login says how long it is good: since Kafka 2.2.
    pub(super) fn limit_logins(&self) -> bool {
        self.know(SaslAuthenticate::KEY, 1)
    }
}

/// A question.
pub(super) trait Request {
    /// Its number in the protocol.
    const KEY: i16;
    type Answer;

    fn version(&self) -> i16;

    /// Whether this version is one of the newer ones.
    fn form(&self) -> Form {
        Form::Classic
    }

    fn write(&self, writer: &mut Writer);
    fn read(&self, reader: &mut Reader<'_>) -> Result<Self::Answer, Malformed>;
}

/// What do you know?
pub(super) struct ApiVersions;

impl Request for ApiVersions {
    const KEY: i16 = 18;
    type Answer = (i16, Versions);

    fn version(&self) -> i16 {
        0
    }

    fn write(&self, _: &mut Writer) {}

    fn read(&self, reader: &mut Reader<'_>) -> Result<Self::Answer, Malformed> {
        let error = reader.i16()?;
        let versions = reader.list(Form::Classic, |reader| Ok((reader.i16()?, (reader.i16()?, reader.i16()?))))?;
        Ok((error, Versions(versions.into_iter().collect())))
    }
}

/// May we log in this way?
pub(super) struct SaslHandshake<'a>(pub &'a str);

impl Request for SaslHandshake<'_> {
    const KEY: i16 = 17;
    /// An error, and the ways that there are.
    type Answer = (i16, Vec<String>);

    fn version(&self) -> i16 {
        1
    }

    fn write(&self, writer: &mut Writer) {
        writer.text(Form::Classic, self.0);
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<Self::Answer, Malformed> {
        Ok((reader.i16()?, reader.list(Form::Classic, |reader| reader.text(Form::Classic))?))
    }
}

/// A step of a login.
pub(super) struct SaslAuthenticate<'a> {
    pub words: &'a [u8],
    /// 1 where the broker knows it: then it says how long the login is good.
    pub version: i16,
}

/// What the broker says to a step.
pub(super) struct Authenticated {
    pub error: i16,
    pub reason: String,
    pub words: Vec<u8>,
    /// For how many milliseconds the login is good; 0 for ever.
    pub lifetime_ms: i64,
}

impl Request for SaslAuthenticate<'_> {
    const KEY: i16 = 36;
    type Answer = Authenticated;

    fn version(&self) -> i16 {
        self.version
    }

    fn write(&self, writer: &mut Writer) {
        writer.bytes(self.words);
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<Authenticated, Malformed> {
        let (error, reason, words) = (reader.i16()?, reader.text(Form::Classic)?, reader.bytes()?);
        let lifetime_ms = if self.version >= 1 { reader.i64()? } else { 0 };
        Ok(Authenticated { error, reason, words, lifetime_ms })
    }
}

/// Who are you all, and who leads these topics' partitions? Asking creates no topic.
pub(super) struct Metadata<'a>(pub &'a [&'a str]);

/// The cluster as one broker sees it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cluster {
    /// Host and port of each broker, by its number.
    pub brokers: BTreeMap<i32, (String, u16)>,
    /// An error, else the leader of each partition (`NO_LEADER` where there is none), by topic and partition.
    pub topics: BTreeMap<String, Result<BTreeMap<i32, i32>, i16>>,
}

/// The number of a broker that there is not.
pub(super) const NO_LEADER: i32 = -1;

impl Request for Metadata<'_> {
    const KEY: i16 = 3;
    type Answer = Cluster;

    fn version(&self) -> i16 {
        4
    }

    fn write(&self, writer: &mut Writer) {
        writer.list(Form::Classic, self.0, |writer, topic| writer.text(Form::Classic, topic));
        writer.i8(0);
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<Cluster, Malformed> {
        let form = Form::Classic;
        let _throttled_ms = reader.i32()?;
        let brokers = reader.list(form, |reader| {
            let (number, host, port, _rack) = (reader.i32()?, reader.text(form)?, reader.i32()?, reader.text(form)?);
            Ok((number, (host, u16::try_from(port).map_err(|_| Malformed)?)))
        })?;
        let (_cluster, _controller) = (reader.text(form)?, reader.i32()?);
        let topics = reader.list(form, |reader| {
            let (error, name, _internal) = (reader.i16()?, reader.text(form)?, reader.i8()?);
            let partitions = reader.list(form, |reader| {
                let (_error, partition, leader) = (reader.i16()?, reader.i32()?, reader.i32()?);
                reader.list(form, Reader::i32)?;
                reader.list(form, Reader::i32)?;
                Ok((partition, leader))
            })?;
            Ok((name, if error == 0 { Ok(partitions.into_iter().collect()) } else { Err(error) }))
        })?;
        Ok(Cluster { brokers: brokers.into_iter().collect(), topics: topics.into_iter().collect() })
    }
}

/// Who keeps these groups' offsets? One group, where the broker cannot be asked about several.
pub(super) struct FindCoordinator<'a>(pub &'a [&'a str], pub Form);

impl FindCoordinator<'_> {
    const JOINED: i16 = 4;
}

impl Request for FindCoordinator<'_> {
    const KEY: i16 = 10;
    /// An error, else a broker's number, by group.
    type Answer = BTreeMap<String, Result<i32, i16>>;

    fn version(&self) -> i16 {
        if self.1 == Form::Compact { Self::JOINED } else { 1 }
    }

    fn form(&self) -> Form {
        self.1
    }

    fn write(&self, writer: &mut Writer) {
        const GROUP: i8 = 0;
        match (self.1, self.0) {
            (Form::Compact, groups) => {
                writer.i8(GROUP);
                writer.list(Form::Compact, groups, |writer, group| writer.text(Form::Compact, group));
                writer.end(Form::Compact);
            }
            (Form::Classic, groups) => {
                writer.text(Form::Classic, groups.first().copied().unwrap_or_default());
                writer.i8(GROUP);
            }
        }
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<Self::Answer, Malformed> {
        let form = self.1;
        let _throttled_ms = reader.i32()?;
        let found = |error: i16, broker: i32| if error == 0 { Ok(broker) } else { Err(error) };
        if form == Form::Classic {
            let (error, _reason, broker) = (reader.i16()?, reader.text(form)?, reader.i32()?);
            let group = self.0.first().copied().unwrap_or_default();
            return Ok(BTreeMap::from([(group.to_owned(), found(error, broker))]));
        }
        let groups = reader.list(form, |reader| {
            let (group, broker, _host, _port) = (reader.text(form)?, reader.i32()?, reader.text(form)?, reader.i32()?);
            let (error, _reason) = (reader.i16()?, reader.text(form)?);
            reader.end(form)?;
            Ok((group, found(error, broker)))
        })?;
        Ok(groups.into_iter().collect())
    }
}

/// Numbers of partitions, by topic.
pub(super) type Places = BTreeMap<String, Vec<i32>>;

/// Offsets, or an error in place of one, by topic and partition.
pub(super) type Found = BTreeMap<String, BTreeMap<i32, Result<i64, i16>>>;

/// What have these groups committed on these partitions, or (without partitions) on any? One group, where the broker cannot be asked about several.
pub(super) struct OffsetFetch<'a>(pub &'a [(&'a str, Option<Places>)], pub Form);

/// What a partition has that no offset was committed of.
pub(super) const NONE_COMMITTED: i64 = -1;

impl OffsetFetch<'_> {
    const JOINED: i16 = 8;

    fn write_places(&self, writer: &mut Writer, places: Option<&Places>) {
        let form = self.1;
        let Some(places) = places else { return writer.no_list(form) };
        let places: Vec<_> = places.iter().collect();
        writer.list(form, &places, |writer, (topic, partitions)| {
            writer.text(form, topic);
            writer.list(form, partitions, |writer, partition| writer.i32(*partition));
            writer.end(form);
        });
    }

    fn read_found(&self, reader: &mut Reader<'_>) -> Result<Found, Malformed> {
        let form = self.1;
        let topics = reader.list(form, |reader| {
            let topic = reader.text(form)?;
            let partitions = reader.list(form, |reader| {
                let (partition, offset) = (reader.i32()?, reader.i64()?);
                if form == Form::Compact {
                    let _leader_epoch = reader.i32()?;
                }
                let (_metadata, error) = (reader.text(form)?, reader.i16()?);
                reader.end(form)?;
                Ok((partition, if error == 0 { Ok(offset) } else { Err(error) }))
            })?;
            reader.end(form)?;
            Ok((topic, partitions.into_iter().collect()))
        })?;
        Ok(topics.into_iter().collect())
    }
}

impl Request for OffsetFetch<'_> {
    const KEY: i16 = 9;
    /// An error, else what was found, by group.
    type Answer = BTreeMap<String, Result<Found, i16>>;

    fn version(&self) -> i16 {
        if self.1 == Form::Compact { Self::JOINED } else { 2 }
    }

    fn form(&self) -> Form {
        self.1
    }

    fn write(&self, writer: &mut Writer) {
        match self.1 {
            Form::Compact => {
                writer.list(Form::Compact, self.0, |writer, (group, places)| {
                    writer.text(Form::Compact, group);
                    self.write_places(writer, places.as_ref());
                    writer.end(Form::Compact);
                });
                // Whether offsets of open transactions are waited for: they are not.
                writer.i8(0);
                writer.end(Form::Compact);
            }
            Form::Classic => {
                let (group, places) = self.0.first().map_or(("", None), |(group, places)| (*group, places.as_ref()));
                writer.text(Form::Classic, group);
                self.write_places(writer, places);
            }
        }
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<Self::Answer, Malformed> {
        let found = |error: i16, found: Found| if error == 0 { Ok(found) } else { Err(error) };
        if self.1 == Form::Classic {
            let offsets = self.read_found(reader)?;
            let group = self.0.first().map_or("", |(group, _)| *group);
            return Ok(BTreeMap::from([(group.to_owned(), found(reader.i16()?, offsets))]));
        }
        let _throttled_ms = reader.i32()?;
        let groups = reader.list(self.1, |reader| {
            let (group, offsets, error) = (reader.text(self.1)?, self.read_found(reader)?, reader.i16()?);
            reader.end(self.1)?;
            Ok((group, found(error, offsets)))
        })?;
        Ok(groups.into_iter().collect())
    }
}

/// Where do these partitions end?
pub(super) struct ListOffsets<'a>(pub &'a Places);

impl Request for ListOffsets<'_> {
    const KEY: i16 = 2;
    type Answer = Found;

    fn version(&self) -> i16 {
        1
    }

    fn write(&self, writer: &mut Writer) {
        const CONSUMER: i32 = -1;
        const LATEST: i64 = -1;
        writer.i32(CONSUMER);
        let places: Vec<_> = self.0.iter().collect();
        writer.list(Form::Classic, &places, |writer, (topic, partitions)| {
            writer.text(Form::Classic, topic);
            writer.list(Form::Classic, partitions, |writer, partition| {
                writer.i32(*partition);
                writer.i64(LATEST);
            });
        });
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<Found, Malformed> {
        let topics = reader.list(Form::Classic, |reader| {
            let topic = reader.text(Form::Classic)?;
            let partitions = reader.list(Form::Classic, |reader| {
                let (partition, error, _time, offset) = (reader.i32()?, reader.i16()?, reader.i64()?, reader.i64()?);
                Ok((partition, if error == 0 { Ok(offset) } else { Err(error) }))
            })?;
            Ok((topic, partitions.into_iter().collect()))
        })?;
        Ok(topics.into_iter().collect())
    }
}

/// Errors that mean that a group is kept elsewhere by now, or is on its way there: who keeps it is asked anew.
pub(super) const MOVED: [i16; 3] = [14, 15, 16];

/// That a topic or partition is not there.
pub(super) const UNKNOWN: i16 = 3;

/// An error's name in the protocol guide, and what it comes to.
pub(super) fn words(error: i16) -> String {
    let known = match error {
        3 => "UNKNOWN_TOPIC_OR_PARTITION",
        5 => "LEADER_NOT_AVAILABLE: the partition has no leader just now",
        6 => "NOT_LEADER_OR_FOLLOWER: the partition moves to another broker",
        7 => "REQUEST_TIMED_OUT",
        9 => "REPLICA_NOT_AVAILABLE",
        14 => "COORDINATOR_LOAD_IN_PROGRESS: the group's offsets are being loaded",
        15 => "COORDINATOR_NOT_AVAILABLE: the group's offsets are kept nowhere just now",
        16 => "NOT_COORDINATOR: the group's offsets move to another broker",
        17 => "INVALID_TOPIC_EXCEPTION: this can be no name of a topic",
        24 => "INVALID_GROUP_ID: this can be no name of a group",
        29 => "TOPIC_AUTHORIZATION_FAILED: the user may not describe the topic; allow it",
        30 => "GROUP_AUTHORIZATION_FAILED: the user may not describe the group; allow it",
        31 => "CLUSTER_AUTHORIZATION_FAILED: the user may not describe the cluster; allow it",
        33 => "UNSUPPORTED_SASL_MECHANISM",
        34 => "ILLEGAL_SASL_STATE",
        35 => "UNSUPPORTED_VERSION: the broker is too old, or new beyond what we know",
        58 => "SASL_AUTHENTICATION_FAILED",
        69 => "GROUP_ID_NOT_FOUND",
        _ => return format!("error {error} of its protocol guide"),
    };
    known.to_owned()
}
