//! A method of forgetting from words: its name, its defaults, and what was set.
//!
//! Fields are set in the method's own text form, so that a method that gains a field has an option for
//! it without a line here.

use serde_json::{Value, json};

use super::fault::Fault;
use crate::unlearn::{METHODS, Method};

/// Something that was set: the option by which, the field, and the value.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub option: String,
    pub field: String,
    pub value: Value,
}

impl Set {
    pub(super) fn new(option: &str, field: &str, value: impl Into<Value>) -> Self {
        Self { option: option.into(), field: field.into(), value: value.into() }
    }

    /// `field=value` of `--set`; the value as TOML writes it, a bare word is text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some((field, value)) = text.split_once('=') else {
            return Err("expected FIELD=VALUE, as in `--set alpha=0.001`".into());
        };
        let (field, value) = (field.trim(), value.trim());
        let told = toml::from_str::<toml::Table>(&format!("value = {value}"))
            .ok()
            .and_then(|mut table| serde_json::to_value(table.remove("value")?).ok())
            .unwrap_or_else(|| json!(value));
        Ok(Self { option: format!("--set {field}"), field: field.into(), value: told })
    }
}

/// The names of all methods, for `--help` and for words that are none of them.
pub(super) fn names() -> Vec<&'static str> {
    METHODS.iter().map(|method| method.name).collect()
}

/// `method` with what was set over its fields.
///
/// # Errors
/// If it has no such field, or the field takes no such value.
pub(super) fn set(method: &Method, sets: &[Set]) -> Result<Method, Fault> {
    let name = method.name();
    let mut text = serde_json::to_value(method).unwrap_or_default();
    for Set { option, field, value } in sets {
        let Some(place) = text.get_mut(name).and_then(|fields| find(fields, field)) else {
            return Err(Fault::Usage(unknown(name, option, field)));
        };
        if value.is_null() {
            // What is no finite number has no spelling.
            return Err(Fault::Usage(format!("{option}: `{field}` is not a finite number")));
        }
        *place = value.clone();
    }
    serde_json::from_value(text).map_err(|fault| {
        let given: Vec<_> =
            sets.iter().map(|set| format!("{} {}", set.option, set.value)).collect();
        Fault::Usage(format!("--method {name} with {}: {fault}", given.join(", ")))
    })
}

/// What a field is called, and where its value lies: in the method, or in the fine-tuning within it.
fn find<'a>(fields: &'a mut Value, field: &str) -> Option<&'a mut Value> {
    let fields = fields.as_object_mut()?;
    // Written only where it is not all layers.
    let tuning = fields.get("tuning").is_some();
    if field == "trained" && (tuning || fields.contains_key("epochs")) {
        let holder = if tuning { fields.get_mut("tuning")?.as_object_mut()? } else { fields };
        return Some(holder.entry("trained").or_insert(Value::Null));
    }
    if fields.contains_key(field) && field != "tuning" {
        return fields.get_mut(field);
    }
    fields.get_mut("tuning")?.get_mut(field)
}

/// The fields of a method, those of the fine-tuning within it among them.
fn fields(method: &Method) -> Vec<String> {
    let text = serde_json::to_value(method).unwrap_or_default();
    let mut all = Vec::new();
    for (key, value) in text.get(method.name()).and_then(Value::as_object).into_iter().flatten() {
        match value.as_object().filter(|_| key == "tuning") {
            Some(within) => all.extend(within.keys().cloned()),
            None => all.push(key.clone()),
        }
    }
    all
}

fn unknown(name: &str, option: &str, field: &str) -> String {
    let with = |method: &&Method| fields(method).iter().any(|own| own == field);
    let all: Vec<Method> = names().into_iter().filter_map(Method::named).collect();
    let takers: Vec<_> = all.iter().filter(with).map(Method::name).collect();
    let own = Method::named(name).map(|method| fields(&method)).unwrap_or_default().join(", ");
    match takers[..] {
        [] => format!("{option}: --method {name} has no such field: it has {own}"),
        _ => format!("{option} belongs to --method {}: {name} has {own}", takers.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unlearn::{FineTune, L1Sparse};

    #[test]
    fn fields_are_set_where_they_lie() {
        let sets = [
            Set::parse("alpha=0.5").unwrap(),
            Set::parse("form = proximal").unwrap(),
            Set::parse("epochs=3").unwrap(),
            Set::parse("trained={last = 2}").unwrap(),
        ];
        let method = set(&Method::named("l1-sparse").unwrap(), &sets).unwrap();
        let Method::L1Sparse(L1Sparse { alpha, form, tuning, .. }) = method else {
            panic!("another method")
        };
        assert_eq!((alpha, tuning.epochs, tuning.rate), (0.5, 3, FineTune::default().rate));
        assert_eq!(form, crate::train::L1Form::Proximal);
        assert_eq!(tuning.trained, crate::train::Trained::Last(2));
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_would() {
        let tune = Method::named("fine-tune").unwrap();
        let told = |text: &str| set(&tune, &[Set::parse(text).unwrap()]).unwrap_err().to_string();
        assert!(told("alpha=1").contains("--set alpha belongs to --method l1-sparse"));
        assert!(told("colour=red").contains("it has epochs, rate"), "{}", told("colour=red"));
        assert!(told("rate=fast").contains("--set rate \"fast\""), "{}", told("rate=fast"));
        assert!(Set::parse("alpha").is_err());
    }
}
