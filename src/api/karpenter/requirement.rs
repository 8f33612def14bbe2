//! What machines must be like, and what kind of machine is meant.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::{Lenient, null_as_default, words};

words! {
    /// How a requirement's values bind its key.
    Operator {
        /// One of them.
        In = "In",
        /// None of them.
        NotIn = "NotIn",
        /// Any value.
        Exists = "Exists",
        /// No value.
        DoesNotExist = "DoesNotExist",
        /// A larger number.
        Gt = "Gt",
        /// A smaller number.
        Lt = "Lt",
        /// A larger number or the same.
        Gte = "Gte",
        /// A smaller number or the same.
        Lte = "Lte",
    }
}

/// A requirement for a label of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// How the values bind it.
    pub operator: Lenient<Operator>,
    /// The values: at least one for In, exactly one number for Gt, Lt, Gte and Lte, none for Exists and DoesNotExist.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub values: Vec<String>,
    /// Among how many values of the label there must be a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub min_values: Option<i64>,
}

impl Requirement {
    /// A requirement.
    pub fn new<V: Into<String>>(key: &str, operator: Operator, values: impl IntoIterator<Item = V>) -> Self {
        Self { key: key.to_owned(), operator: operator.into(), values: values.into_iter().map(Into::into).collect(), min_values: None }
    }
}

/// What a machine is in the words of its cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeClassRef {
    /// API group of the NodeClass.
    #[schemars(extend(
        "pattern" = "^[^/]*$",
        "x-kubernetes-validations" = [{ "message": "group may not be empty", "rule": "self != ''" }]
    ))]
    pub group: String,
    /// Kind of the NodeClass. It decides who serves it.
    #[schemars(extend("x-kubernetes-validations" = [{ "message": "kind may not be empty", "rule": "self != ''" }]))]
    pub kind: String,
    /// Name of the NodeClass.
    #[schemars(extend("x-kubernetes-validations" = [{ "message": "name may not be empty", "rule": "self != ''" }]))]
    pub name: String,
}
