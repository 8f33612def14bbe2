//! Subscriptions and topics by name.

/// What Cloud Monitoring counts of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sort {
    Subscription,
    Topic,
}

impl Sort {
    /// The word for it in Monitoring's names.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Subscription => "subscription",
            Self::Topic => "topic",
        }
    }
}

/// A subscription or topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Resource {
    pub sort: Sort,
    /// Its project, if the name says so.
    pub project: Option<String>,
    pub id: String,
}

impl Resource {
    /// What a name means: its own, or `projects/PROJECT/subscriptions/NAME` and the like.
    pub(super) fn parse(sort: Sort, name: &str) -> Self {
        let parts: Vec<&str> = name.split('/').collect();
        let (project, id) = match parts.as_slice() {
            ["projects", project, "subscriptions" | "topics", id] if is_project(project) => (Some((*project).to_owned()), *id),
            _ => (None, name),
        };
        Self { sort, project, id: id.to_owned() }
    }

    /// Why Pub/Sub has nothing of that name, if that is so. KEDA takes such a trigger too, and fails when it is asked.
    pub(super) fn fault(&self) -> Option<String> {
        let Self { sort, id, .. } = self;
        let first = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~+%".contains(&byte);
        let is_name = first && id.bytes().all(fits) && (3..=255).contains(&id.len()) && !id.to_ascii_lowercase().starts_with("goog");
        let word = sort.word();
        (!is_name).then(|| format!("invalid Pub/Sub resource name {id:?}; write the {word}'s name, or projects/PROJECT/{word}s/NAME"))
    }
}

/// Whether a text can be the id of a project. It goes into paths and queries.
pub(super) fn is_project(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
    text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric()) && text.bytes().all(fits)
}
