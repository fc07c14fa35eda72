//! Holds the table and the shapes against the service's model, so that neither drifts.
//!
//! The model is not part of this repository; where it does not lie beside it, the test says so and counts as skipped.

use crate::operations::{Operation, TABLE};
use crate::shape::{Kind, Place, Shape};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where the shapes follow recorded answers of the service rather than its model.
const RECORDED_OTHERWISE: &[&str] = &["LayerVersionArn", "TaggableResource"];

struct Model {
    shapes: Value,
    seen: BTreeSet<&'static str>,
    drift: Vec<String>,
}

impl Model {
    fn note(&mut self, what: String, ours: &Value, model: &Value) {
        if ours != model {
            self.drift.push(format!("{what}: here {ours}, in the model {model}"));
        }
    }

    fn compare(&mut self, shape: &'static Shape) {
        if !self.seen.insert(shape.name) {
            return;
        }
        // `String` would shadow Rust's own.
        let name = if shape.name == "Text" { "String" } else { shape.name };
        let model = self.shapes[name].clone();
        self.note(format!("{name} type"), &type_of(shape).into(), &model["type"]);
        let sensitive = model["sensitive"].as_bool().unwrap_or(false);
        self.note(format!("{name} sensitive"), &shape.sensitive.into(), &sensitive.into());
        let number = |value: Option<f64>| value.map_or(Value::Null, Value::from);
        let bound = |key: &str| model[key].as_f64().map_or(Value::Null, Value::from);
        if let Some((min, max)) = bounds_of(shape) {
            self.note(format!("{name} min"), &number(min), &bound("min"));
            self.note(format!("{name} max"), &number(max), &bound("max"));
        }
        match shape.kind {
            Kind::Structure(_) => self.compare_members(shape, &model),
            Kind::List(list) => {
                self.note(format!("{name} member"), &wire(list.member), &model["member"]["shape"]);
                self.compare(list.member);
            }
            Kind::Map(map) => {
                self.note(format!("{name} key"), &wire(map.key), &model["key"]["shape"]);
                self.note(format!("{name} value"), &wire(map.value), &model["value"]["shape"]);
                self.compare(map.key);
                self.compare(map.value);
            }
            Kind::Text(text) => {
                if !RECORDED_OTHERWISE.contains(&name) {
                    self.note(
                        format!("{name} pattern"),
                        &text.pattern.map_or(Value::Null, Value::from),
                        &model["pattern"],
                    );
                }
                // As sets: the service prints some in an order of its own.
                let ours: BTreeSet<&str> = text.choices.iter().copied().collect();
                let theirs =
                    model["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                self.note(format!("{name} choices"), &set(&ours), &set(&theirs));
            }
            _ => {}
        }
    }

    fn compare_members(&mut self, shape: &'static Shape, model: &Value) {
        let name = shape.name;
        let required: BTreeSet<&str> =
            model["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let theirs: BTreeSet<&str> =
            model["members"].as_object().unwrap().keys().map(String::as_str).collect();
        let ours: BTreeSet<&str> = shape.members().iter().map(|member| member.name).collect();
        self.note(format!("{name} members"), &set(&ours), &set(&theirs));
        for member in shape.members() {
            let about = &model["members"][member.name];
            let place = match about["location"].as_str() {
                Some("uri") => Place::Label,
                Some("querystring") => Place::Query(member_place(member.place)),
                Some("header") => Place::Header(member_place(member.place)),
                Some("statusCode") => Place::Status,
                _ if model["payload"] == member.name => Place::Payload,
                _ => Place::Body,
            };
            if place != member.place {
                self.drift.push(format!(
                    "{name}.{} travels as {:?}, in the model {place:?}",
                    member.name, member.place
                ));
            }
            if let Some(location) = about["locationName"].as_str().filter(|_| place != Place::Label) {
                self.note(
                    format!("{name}.{} name", member.name),
                    &member_place(member.place).into(),
                    &location.into(),
                );
            }
            self.note(
                format!("{name}.{} required", member.name),
                &member.required.into(),
                &required.contains(member.name).into(),
            );
            // An event stream is described as the raw payload that it is on the wire.
            if self.shapes[about["shape"].as_str().unwrap()]["eventstream"] != true {
                self.note(format!("{name}.{} shape", member.name), &wire(member.shape), &about["shape"]);
                self.compare(member.shape);
            }
        }
    }
}

fn member_place(place: Place) -> &'static str {
    match place {
        Place::Query(name) | Place::Header(name) => name,
        _ => "",
    }
}

fn wire(shape: &Shape) -> Value {
    Value::from(if shape.name == "Text" { "String" } else { shape.name })
}

fn set(names: &BTreeSet<&str>) -> Value {
    names.iter().map(|name| Value::from(*name)).collect()
}

fn type_of(shape: &Shape) -> &'static str {
    match shape.kind {
        Kind::Structure(_) => "structure",
        Kind::List(_) => "list",
        Kind::Map(_) => "map",
        Kind::Text(_) => "string",
        Kind::Integer(_) => "integer",
        Kind::Long(_) => "long",
        Kind::Double(_) => "double",
        Kind::Boolean => "boolean",
        Kind::Blob(_) => "blob",
        Kind::Timestamp => "timestamp",
    }
}

#[expect(clippy::cast_precision_loss, reason = "bounds are small")]
fn bounds_of(shape: &Shape) -> Option<(Option<f64>, Option<f64>)> {
    let lengths = match shape.kind {
        Kind::Text(text) => text.length,
        Kind::List(list) => list.length,
        Kind::Map(map) => map.length,
        Kind::Blob(bounds) => bounds,
        Kind::Integer(bounds) | Kind::Long(bounds) => {
            return Some((bounds.min.map(|min| min as f64), bounds.max.map(|max| max as f64)));
        }
        Kind::Double(bounds) => return Some((bounds.min, bounds.max)),
        _ => return None,
    };
    Some((lengths.min.map(|min| min as f64), lengths.max.map(|max| max as f64)))
}

#[test]
fn the_table_and_the_shapes_are_those_of_the_model() {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let path = std::env::var_os("HEARTH_SHARED").map_or_else(beside, PathBuf::from).join("lambda-model.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: no model at {} (HEARTH_SHARED says where)", path.display());
        return;
    };
    let model: Value = serde_json::from_str(&text).unwrap();
    let operations = model["operations"].as_object().unwrap();
    let mut names: Vec<&str> = operations.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, Operation::ALL.iter().map(|operation| operation.name()).collect::<Vec<_>>());
    let mut compared = Model { shapes: model["shapes"].clone(), seen: BTreeSet::new(), drift: Vec::new() };
    for row in TABLE {
        let about = &operations[row.name];
        compared.note(format!("{} method", row.name), &row.method.as_str().into(), &about["http"]["method"]);
        compared.note(format!("{} uri", row.name), &row.uri.into(), &about["http"]["requestUri"]);
        compared.note(format!("{} success", row.name), &row.success.into(), &about["http"]["responseCode"]);
        compared.note(format!("{} input", row.name), &wire(row.input), &about["input"]["shape"]);
        compared.compare(row.input);
        let output = if row.has_output() { wire(row.output) } else { Value::Null };
        compared.note(format!("{} output", row.name), &output, &about["output"]["shape"]);
        if row.has_output() {
            compared.compare(row.output);
        }
    }
    assert!(compared.seen.len() > 540, "only {} shapes compared", compared.seen.len());
    assert!(
        compared.drift.is_empty(),
        "{} differences:\n{}",
        compared.drift.len(),
        compared.drift.join("\n")
    );
}
