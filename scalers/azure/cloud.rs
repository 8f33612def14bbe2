//! Azure's clouds, and what the names of services in them end with.

use crate::parameter::{Field, Fields, Misfit};

/// One of Azure's clouds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cloud {
    Public,
    UsGovernment,
    China,
    German,
    /// One of the user's own: what names end with is given beside it.
    Private,
}

/// What is reached in a cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    StorageQueue,
    ServiceBus,
}

const NAMES: [(&str, Cloud); 5] = [
    ("AzurePublicCloud", Cloud::Public),
    ("AzureUSGovernmentCloud", Cloud::UsGovernment),
    ("AzureChinaCloud", Cloud::China),
    ("AzureGermanCloud", Cloud::German),
    ("Private", Cloud::Private),
];

impl Field for Cloud {
    const VALUE: &'static str = "the name of one of Azure's clouds";
    const ALLOWED: &'static [&'static str] =
        &["AzurePublicCloud", "AzureUSGovernmentCloud", "AzureChinaCloud", "AzureGermanCloud", "Private"];

    fn parse(text: &str) -> Result<Self, Misfit> {
        let found = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, cloud)| *cloud);
        found.ok_or_else(|| Misfit::new("is an invalid cloud environment", format!("write one of {}", Self::ALLOWED.join(", "))))
    }
}

/// What the names of a service end with, in the cloud that a trigger names. `given` is its `endpointSuffix`, which counts in a private cloud alone.
pub(crate) fn suffix(fields: &mut Fields<'_>, cloud: Option<Cloud>, given: Option<&str>, service: Service) -> Option<String> {
    let of_cloud = |storage: &str, bus: &str| match service {
        Service::StorageQueue => format!("queue.{storage}"),
        Service::ServiceBus => bus.to_owned(),
    };
    Some(match cloud.unwrap_or(Cloud::Public) {
        Cloud::Public => of_cloud("core.windows.net", "servicebus.windows.net"),
        Cloud::UsGovernment => of_cloud("core.usgovcloudapi.net", "servicebus.usgovcloudapi.net"),
        Cloud::China => of_cloud("core.chinacloudapi.cn", "servicebus.chinacloudapi.cn"),
        Cloud::German => of_cloud("core.cloudapi.de", "servicebus.cloudapi.de"),
        Cloud::Private => match given {
            Some(given) => given.to_owned(),
            None => {
                let what = "is missing: endpointSuffix must be provided for Private cloud type";
                fields.problem("endpointSuffix", what, "give what the names of the service end with, such as queue.core.private.cloud");
                return None;
            }
        },
    })
}
