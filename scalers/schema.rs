//! A kind's declaration as a JSON Schema of its triggers' metadata, for editors and for checks elsewhere.

use serde_json::{Map, Value, json};

use crate::kind::Kind;
use crate::parameter::{Age, Parameter, REST, Source};

impl Kind {
    /// The schema (draft 2020-12) of what stands under `metadata` in a trigger of this kind. All values are texts, as Kubernetes holds them.
    #[must_use]
    pub fn schema(&self) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for parameter in self.all_parameters().filter(|parameter| parameter.name != REST.name) {
            if parameter.sources.contains(&Source::Metadata) {
                properties.insert(parameter.name.to_owned(), property(parameter));
                if parameter.required && parameter.sources == [Source::Metadata] {
                    required.push(parameter.name);
                }
            }
            if parameter.sources.contains(&Source::Environment) {
                let text = format!("The environment variable of the target's container that has {}.", parameter.name);
                properties.insert(format!("{}FromEnv", parameter.name), json!({"type": "string", "description": text}));
            }
        }
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": format!("metadata of a trigger of type {}", self.name),
            "description": self.summary,
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": if self.takes_any() { json!({"type": "string"}) } else { json!(false) },
        })
    }

    fn takes_any(&self) -> bool {
        self.all_parameters().any(|parameter| parameter.name == REST.name)
    }
}

fn property(parameter: &Parameter) -> Value {
    let mut schema = json!({"type": "string", "description": format!("{} ({})", parameter.doc, parameter.value)});
    if !parameter.allowed.is_empty() {
        schema["enum"] = json!(parameter.allowed);
    }
    if let Some(default) = parameter.default {
        schema["default"] = json!(default);
    }
    match parameter.age {
        Age::Current => {}
        Age::Deprecated(_) => schema["deprecated"] = json!(true),
        // Whatever stands there is refused.
        Age::Removed(instead) => schema = json!({"not": {}, "description": format!("No longer read: {instead}.")}),
    }
    schema
}

#[cfg(test)]
mod tests {
    use crate::KINDS;

    #[test]
    fn examples_are_as_their_schemas_say() {
        for kind in KINDS {
            let schema = kind.schema();
            let properties = schema["properties"].as_object().expect("properties");
            for (key, text) in kind.example.iter().chain(kind.example_more) {
                let Some(property) = properties.get(*key) else {
                    assert!(schema["additionalProperties"].is_object(), "{} does not know {key}", kind.name);
                    continue;
                };
                assert!(property["not"].is_null(), "{}: {key} is no longer read", kind.name);
                assert!(property["enum"].as_array().is_none_or(|allowed| allowed.iter().any(|one| one == text)), "{}: {key}", kind.name);
            }
            for key in schema["required"].as_array().expect("a list") {
                assert!(kind.example.iter().any(|(known, _)| key == known), "{} needs {key}", kind.name);
            }
        }
    }
}
