//! OBX-5: what was observed, by the type that OBX-2 names (HL7 v2.5.1, section 7.4.2).
//!
//! What is not what its type says, and types that FHIR has no place for, become texts that read as
//! they were written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::super::element::Element;
use super::super::flaw::{Flaw, Reason};
use super::super::message::Segment;
use super::super::time::Zones;
use super::fhir::{CodeableConcept, Form, Quantity, Range, Ratio, Value, concept, whole};
use crate::given::Given;
use crate::record::Moment;

/// What stands in an OBX.
pub(super) enum Observed {
    /// Nothing, or that nothing is known.
    Nothing,
    /// A value.
    Value(Value),
    /// A document.
    Document(Form),
}

/// Reads it.
pub(super) fn observed(obx: Segment<'_>, zones: &Zones) -> Result<Observed, Flaw> {
    let (kind, field) = (obx.field(2), obx.field(5));
    if field.is_absent() || field.is_null() {
        return Ok(Observed::Nothing);
    }
    let kind = kind.named()?.value().ok_or_else(|| kind.missing())?;
    if kind == "ED" {
        return document(&field.first()).map(Observed::Document);
    }
    let typed = match kind.as_str() {
        "NM" => number(&field, &units(obx)?)?,
        "SN" => structured(&field, &units(obx)?)?,
        "CE" | "CWE" | "CNE" | "CF" => Some(Value::Concept(concepts(&field)?)),
        "DT" | "TS" | "DTM" => date_time(&field, zones),
        "TM" => time(&field)?,
        _ => None,
    };
    match typed {
        Some(value) => Ok(Observed::Value(value)),
        None => Ok(text(&field)?.map_or(Observed::Nothing, |text| Observed::Value(Value::Text(text)))),
    }
}

/// All repetitions as lines.
pub(super) fn text(field: &Element<'_>) -> Result<Option<String>, Flaw> {
    let lines = field.repetitions().map(|line| Ok(whole(&line)?.unwrap_or_default()));
    let text = lines.collect::<Result<Vec<_>, Flaw>>()?.join("\n");
    Ok((!text.trim().is_empty()).then_some(text))
}

/// OBX-6.
fn units(obx: Segment<'_>) -> Result<Quantity, Flaw> {
    let unit = concept(&obx.field(6))?;
    let ucum =
        unit.coding.iter().find(|coding| coding.system.as_deref() == Some("http://unitsofmeasure.org"));
    let first = unit.coding.first().and_then(|coding| coding.code.clone());
    Ok(Quantity {
        unit: unit.text.clone().or(first),
        system: ucum.and_then(|coding| coding.system.clone()),
        code: ucum.and_then(|coding| coding.code.clone()),
        ..Quantity::default()
    })
}

fn is_single(field: &Element<'_>) -> bool {
    field.repetitions().nth(1).is_none()
}

fn number(field: &Element<'_>, units: &Quantity) -> Result<Option<Value>, Flaw> {
    let number = whole(field)?.as_deref().and_then(decimal).filter(|_| is_single(field));
    Ok(number.map(|value| Value::Quantity(Quantity { value: Some(value), ..units.clone() })))
}

/// SN: a comparison, a ratio, a range.
fn structured(field: &Element<'_>, units: &Quantity) -> Result<Option<Value>, Flaw> {
    let part = |number: u32| whole(&field.component(number));
    let (comparison, between) = (part(1)?.unwrap_or_default(), part(3)?.unwrap_or_default());
    let (first, second) = (part(2)?, part(4)?);
    let [first, second] = [first, second].map(|number| {
        let value = number.as_deref().and_then(decimal)?;
        Some(Quantity { value: Some(value), ..units.clone() })
    });
    let comparator = match comparison.trim() {
        "" | "=" => Some(None),
        "<" => Some(Some("<")),
        "<=" => Some(Some("<=")),
        ">" => Some(Some(">")),
        ">=" => Some(Some(">=")),
        _ => None,
    };
    if !is_single(field) {
        return Ok(None);
    }
    Ok(match (comparator, first, between.trim(), second) {
        (Some(comparator), Some(first), "", None) => Some(Value::Quantity(Quantity { comparator, ..first })),
        (Some(None), Some(low), "-", Some(high)) => Some(Value::Range(Range { low, high })),
        (Some(None), Some(numerator), ":" | "/", Some(denominator)) => {
            Some(Value::Ratio(Ratio { numerator, denominator }))
        }
        _ => None,
    })
}

/// One concept of all repetitions.
fn concepts(field: &Element<'_>) -> Result<CodeableConcept, Flaw> {
    let mut all = CodeableConcept::default();
    let mut texts = Vec::new();
    for repetition in field.repetitions() {
        let one = concept(&repetition)?;
        texts.extend(one.text.or_else(|| one.coding.first()?.code.clone()));
        all.coding.extend(one.coding);
    }
    all.text = (!texts.is_empty()).then(|| texts.join("; "));
    Ok(all)
}

/// The moment of a field. A time that is none is left out: the result matters more.
pub(super) fn moment(field: &Element<'_>, zones: &Zones) -> Option<Moment> {
    let Ok(Given::Value(stamp)) = field.time() else { return None };
    stamp.moment(zones)
}

/// A time that is none is a text.
fn date_time(field: &Element<'_>, zones: &Zones) -> Option<Value> {
    let moment = moment(field, zones).filter(|_| is_single(field))?;
    moment.fhir().map(Value::DateTime)
}

/// TM: `HHMM[SS]`, without a zone.
fn time(field: &Element<'_>) -> Result<Option<Value>, Flaw> {
    let Some(text) = whole(field)? else { return Ok(None) };
    let is_time = matches!(text.len(), 4 | 6) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_time || !is_single(field) {
        return Ok(None);
    }
    let (hour, minute) = (&text[..2], &text[2..4]);
    let second = if text.len() == 6 { &text[4..] } else { "00" };
    let is_in_a_day = hour < "24" && minute < "60" && second < "60";
    Ok(is_in_a_day.then(|| Value::Time(format!("{hour}:{minute}:{second}"))))
}

/// A document (ED): what it is, and its bytes.
fn document(element: &Element<'_>) -> Result<Form, Flaw> {
    let part = |number: u32| element.component(number).named();
    let (kind, sort) = (part(2)?.value().unwrap_or_default(), part(3)?.value().unwrap_or_default());
    let encoding = part(4)?.value().unwrap_or_default();
    let data = element.component(5);
    let refused = || data.flaw(Reason::Document);
    let text = whole(&data)?.unwrap_or_default();
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let bytes = match encoding.to_ascii_lowercase().as_str() {
        "base64" => STANDARD.decode(&plain).map_err(|_| refused())?,
        "hex" => hex::decode(&plain).map_err(|_| refused())?,
        "a" | "" => text.into_bytes(),
        _ => return Err(refused()),
    };
    let content_type = match (kind.to_ascii_lowercase(), sort.to_ascii_lowercase()) {
        (_, sort) if sort.contains('/') => sort,
        (kind, sort) if !kind.is_empty() && !sort.is_empty() => format!("{kind}/{sort}"),
        _ => "application/octet-stream".to_owned(),
    };
    Ok(Form { content_type, data: STANDARD.encode(bytes), title: None })
}

/// A number as it was written, if JSON can have it so: no plus, and something before the point.
fn decimal(text: &str) -> Option<Box<RawValue>> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    RawValue::from_string(format!("{sign}{whole}{point}{fraction}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_its_digits() {
        for (text, number) in [
            ("7.0", "7.0"),
            ("+5", "5"),
            (".5", "0.5"),
            ("-.50", "-0.50"),
            ("007", "7"),
            ("0", "0"),
            ("5.", "5"),
            (" 12 ", "12"),
            ("123456789012345678901234567890.10", "123456789012345678901234567890.10"),
        ] {
            assert_eq!(decimal(text).map(|raw| raw.get().to_owned()).as_deref(), Some(number), "{text}");
        }
        for text in ["", ".", "-", "1e5", "<5", "5,0", "NaN", "1.2.3", "--1", "٣"] {
            assert!(decimal(text).is_none(), "{text}");
        }
    }
}
