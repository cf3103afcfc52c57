//! JSON schemas, as far as the program writes them. A keyword that is not known here is an error, so that none is passed
//! over.

use serde_json::Value;

/// Checks a value against a schema; a field that the schema does not name is an error, too.
pub(crate) fn check(schema: &Value, value: &Value) -> Result<(), String> {
    Schema { root: schema }.check(schema, value, "")
}

/// The fields of a schema that have no description, by their paths.
pub(crate) fn undescribed(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    describe(schema, "", &mut found);
    found
}

fn describe(schema: &Value, at: &str, found: &mut Vec<String>) {
    match schema {
        Value::Object(parts) => {
            for (name, part) in parts {
                let at = format!("{at}/{name}");
                if name == "properties" {
                    // What one variant of several is stands beside its only field.
                    let variant = parts.contains_key("description") && at.contains("/oneOf/");
                    for (field, schema) in part.as_object().unwrap() {
                        if !variant && schema["description"].as_str().is_none_or(str::is_empty) {
                            found.push(format!("{at}/{field}"));
                        }
                    }
                }
                describe(part, &at, found);
            }
        }
        Value::Array(parts) => parts.iter().for_each(|part| describe(part, at, found)),
        _ => {}
    }
}

struct Schema<'a> {
    root: &'a Value,
}

impl Schema<'_> {
    fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let Value::Object(keywords) = schema else {
            return Err(format!("{at}: {schema} is no schema that says anything"));
        };
        for (keyword, wanted) in keywords {
            let holds = match keyword.as_str() {
                "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
                "$ref" => {
                    let place = wanted.as_str().and_then(|place| place.strip_prefix('#'));
                    let other = place.and_then(|place| self.root.pointer(place));
                    let other = other.ok_or_else(|| format!("{at}: {wanted} leads nowhere"))?;
                    self.check(other, value, at)?;
                    true
                }
                "type" => match wanted {
                    Value::Array(kinds) => kinds.iter().any(|kind| is(kind, value)),
                    kind => is(kind, value),
                },
                "enum" => wanted.as_array().is_some_and(|all| all.contains(value)),
                "const" => wanted == value,
                "minimum" => value
                    .as_f64()
                    .is_none_or(|value| Some(value) >= wanted.as_f64()),
                "minItems" => length(value).is_none_or(|length| Some(length) >= wanted.as_u64()),
                "maxItems" => length(value).is_none_or(|length| Some(length) <= wanted.as_u64()),
                "anyOf" => self.count(wanted, value, at) >= 1,
                "oneOf" => self.count(wanted, value, at) == 1,
                "items" => {
                    for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(wanted, item, &format!("{at}/{place}"))?;
                    }
                    true
                }
                "required" => {
                    for name in wanted.as_array().into_iter().flatten() {
                        if value.is_object() && value.get(name.as_str().unwrap()).is_none() {
                            return Err(format!("{at}/{name} is missing"));
                        }
                    }
                    true
                }
                "properties" => self.fields(keywords, value, at)?,
                // Of a schema without properties: of all fields.
                "additionalProperties" => match (keywords.get("properties"), wanted) {
                    (None, Value::Object(_)) => {
                        for (name, field) in value.as_object().into_iter().flatten() {
                            self.check(wanted, field, &format!("{at}/{name}"))?;
                        }
                        true
                    }
                    _ => true,
                },
                other => return Err(format!("{at}: the keyword {other} is not known here")),
            };
            if !holds {
                return Err(format!("{at}: {value} is not as {keyword} says: {wanted}"));
            }
        }
        Ok(())
    }

    /// Checks each field of an object, which must be one of the schema's.
    fn fields(
        &self,
        keywords: &serde_json::Map<String, Value>,
        value: &Value,
        at: &str,
    ) -> Result<bool, String> {
        let known = &keywords["properties"];
        for (name, field) in value.as_object().into_iter().flatten() {
            let at = format!("{at}/{name}");
            match known.get(name) {
                Some(schema) => self.check(schema, field, &at)?,
                None => return Err(format!("{at} is not in the schema")),
            }
        }
        Ok(true)
    }

    fn count(&self, schemas: &Value, value: &Value, at: &str) -> usize {
        let schemas = schemas.as_array().into_iter().flatten();
        let holds = schemas.filter(|schema| self.check(schema, value, at).is_ok());
        holds.count()
    }
}

fn length(value: &Value) -> Option<u64> {
    value.as_array().map(|items| items.len() as u64)
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    }
}
