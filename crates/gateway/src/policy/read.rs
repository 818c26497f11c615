//! Reads TOML into structs and notes every problem on the way, where serde would stop at the first.

use std::{fmt, ops::Deref};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Something wrong in a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was given; `policy.toml` when the text came from elsewhere.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

/// A value and where it stands in the file.
#[derive(Debug, Clone)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Offset in bytes.
    pub(crate) at: usize,
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The problems so far.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    notes: Vec<(usize, String)>,
    /// Something could not be read at all, so what refers to it by name need not be complained about too.
    pub(crate) incomplete: bool,
}

impl Notes {
    pub(crate) fn note(&mut self, at: usize, message: impl Into<String>) {
        self.notes.push((at, message.into()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }

    /// In the order of the file.
    pub(crate) fn problems(mut self, text: &str, file: &str) -> Vec<Problem> {
        self.notes.sort();
        self.notes.dedup();
        let problem = |(at, message): (usize, String)| {
            let before = text.get(..at).unwrap_or(text);
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            Problem {
                file: file.to_string(),
                line: before.matches('\n').count() + 1,
                column: before[line_start..].chars().count() + 1,
                message,
            }
        };
        self.notes.into_iter().map(problem).collect()
    }
}

/// What can stand behind a key.
pub(crate) trait Read: Sized {
    /// What would be right, as it fits after "this must be".
    const EXPECTED: &'static str;

    fn read(value: &Spanned<DeValue<'_>>, notes: &mut Notes) -> Option<Self>;
}

/// For a value of a wrong type.
pub(crate) fn wrong<T: Read>(value: &Spanned<DeValue<'_>>, notes: &mut Notes) -> Option<T> {
    let found = match value.get_ref() {
        DeValue::String(text) => format!("'{text}'"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(true) => "true".into(),
        DeValue::Boolean(false) => "false".into(),
        DeValue::Datetime(_) => "a date".into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    };
    notes.note(value.span().start, format!("This must be {}, not {found}.", T::EXPECTED));
    None
}

pub(crate) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

pub(crate) fn float(value: &DeValue<'_>) -> Option<f64> {
    value.as_float()?.as_str().parse().ok()
}

/// Reads a type that is parsed from a text.
macro_rules! read_text {
    ($type:ty, $expected:expr, $parse:expr) => {
        impl $crate::policy::read::Read for $type {
            const EXPECTED: &'static str = $expected;

            fn read(value: &toml::Spanned<toml::de::DeValue<'_>>, notes: &mut $crate::policy::read::Notes) -> Option<Self> {
                let parse: fn(&str) -> Option<$type> = $parse;
                match value.get_ref().as_str().and_then(parse) {
                    Some(read) => Some(read),
                    None => $crate::policy::read::wrong(value, notes),
                }
            }
        }
    };
}
pub(crate) use read_text;

read_text!(String, "a text in quotation marks", |text| Some(text.to_string()));

impl Read for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(value: &Spanned<DeValue<'_>>, notes: &mut Notes) -> Option<Self> {
        value.get_ref().as_bool().or_else(|| wrong(value, notes))
    }
}

impl Read for u32 {
    const EXPECTED: &'static str = "a whole number, 0 or more";

    fn read(value: &Spanned<DeValue<'_>>, notes: &mut Notes) -> Option<Self> {
        integer(value.get_ref()).and_then(|number| u32::try_from(number).ok()).or_else(|| wrong(value, notes))
    }
}

impl<T: Read> Read for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn read(value: &Spanned<DeValue<'_>>, notes: &mut Notes) -> Option<Self> {
        T::read(value, notes).map(Some)
    }
}

impl<T: Read> Read for At<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn read(value: &Spanned<DeValue<'_>>, notes: &mut Notes) -> Option<Self> {
        T::read(value, notes).map(|read| At { value: read, at: value.span().start })
    }
}

/// A list; a single value needs no brackets. What is wrong in it is left out.
impl<T: Read> Read for Vec<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn read(value: &Spanned<DeValue<'_>>, notes: &mut Notes) -> Option<Self> {
        match value.get_ref() {
            DeValue::Array(values) => Some(values.iter().filter_map(|value| T::read(value, notes)).collect()),
            _ => T::read(value, notes).map(|single| vec![single]),
        }
    }
}

/// A table of the file while it is read.
pub(crate) struct Table<'t> {
    table: &'t DeTable<'t>,
    at: usize,
    /// As it is called in messages: `[cache]`, `[[rule]]`.
    name: &'static str,
}

impl<'t> Table<'t> {
    pub(crate) fn new(table: &'t DeTable<'t>, at: usize, name: &'static str) -> Self {
        Self { table, at, name }
    }

    fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table.get(key)
    }

    /// Complains about keys that aren't among `known`.
    pub(crate) fn refuse_others(&self, known: &[&str], notes: &mut Notes) {
        for key in self.table.keys() {
            if known.contains(&key.get_ref().as_ref()) {
                continue;
            }
            let meant =
                known.iter().find(|k| similar(k, key.get_ref())).map(|k| format!("did you mean '{k}'? ")).unwrap_or_default();
            let place = if self.name.is_empty() { "A policy".to_string() } else { self.name.to_string() };
            let message = format!("{place} has no '{}': {meant}It has {}.", key.get_ref(), known.join(", "));
            notes.note(key.span().start, message);
        }
    }

    pub(crate) fn optional<T: Read>(&self, key: &str, notes: &mut Notes) -> Option<T> {
        self.get(key).and_then(|value| T::read(value, notes))
    }

    pub(crate) fn required<T: Read>(&self, key: &str, notes: &mut Notes) -> Option<T> {
        match self.get(key) {
            Some(value) => T::read(value, notes),
            None => {
                notes.note(self.at, format!("{} needs '{key}': {}.", self.name, T::EXPECTED));
                None
            }
        }
    }

    /// Where a key of a section stands, if it does.
    pub(crate) fn place(&self, section: &str, key: &str) -> Option<usize> {
        let section = self.get(section)?.get_ref().as_table()?;
        section.get_key_value(key).map(|(key, _)| key.span().start)
    }

    /// A section, `[name]`; its defaults when it isn't there.
    pub(crate) fn section<T: ReadTable>(&self, key: &str, name: &'static str, notes: &mut Notes) -> Option<T> {
        match self.get(key) {
            None => T::read(&Table::new(&DeTable::new(), 0, name), notes),
            Some(value) => match value.get_ref() {
                DeValue::Table(table) => T::read(&Table::new(table, value.span().start, name), notes),
                _ => {
                    notes.note(value.span().start, format!("This must be a section: write {name} on a line of its own."));
                    None
                }
            },
        }
    }

    /// Sections that may be there several times, `[[name]]`.
    pub(crate) fn sections<T: ReadTable>(&self, key: &str, name: &'static str, notes: &mut Notes) -> Vec<T> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let mut read = Vec::new();
        let tables = match value.get_ref() {
            DeValue::Array(values) => values.iter().collect(),
            _ => vec![value],
        };
        for value in tables {
            if let (DeValue::Table(table), DeValue::Array(_)) = (value.get_ref(), self.table[key].get_ref()) {
                let before = notes.notes.len();
                match T::read(&Table::new(table, value.span().start, name), notes) {
                    Some(section) => read.push(section),
                    None => notes.incomplete = true,
                }
                notes.incomplete |= notes.notes.len() > before;
            } else {
                notes.note(
                    value.span().start,
                    format!("This must be a section: write {name} with two brackets on a line of its own."),
                );
                notes.incomplete = true;
            }
        }
        read
    }
}

/// A struct that stands for a section of the file.
pub(crate) trait ReadTable: Sized {
    fn read(table: &Table<'_>, notes: &mut Notes) -> Option<Self>;
}

/// Whether one is probably a slip for the other: one letter more, less, other or swapped.
fn similar(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let same = a.iter().zip(b).take_while(|(x, y)| x.eq_ignore_ascii_case(y)).count();
    let (a, b) = (&a[same..], &b[same..]);
    match (a, b) {
        ([], _) | (_, []) => a.len() + b.len() <= 2,
        ([_, a_rest @ ..], [_, b_rest @ ..]) => {
            a_rest == b_rest || a_rest == b || a == b_rest || (a.len() > 1 && b.len() > 1 && a[0] == b[1] && a[1] == b[0])
        }
    }
}

/// Makes a documented struct readable: fields with a default may be left out, the others are required.
macro_rules! section {
    (@field $table:ident, $notes:ident, $field:ident, $default:expr) => {
        Some($table.optional(stringify!($field), $notes).unwrap_or_else(|| $default))
    };
    (@field $table:ident, $notes:ident, $field:ident) => {
        $table.required(stringify!($field), $notes)
    };
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* pub $field:ident: $type:ty $(= $default:expr)?,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            /// Where it stands.
            #[allow(dead_code, reason = "not every section is complained about as a whole")]
            pub(crate) at: usize,
        }

        impl $crate::policy::read::ReadTable for $name {
            fn read(
                table: &$crate::policy::read::Table<'_>,
                notes: &mut $crate::policy::read::Notes,
            ) -> Option<Self> {
                table.refuse_others(&[$(stringify!($field)),*], notes);
                // All are read before the first that is missing ends it.
                $(let $field: Option<$type> = section!(@field table, notes, $field $(, $default)?);)*
                Some(Self { $($field: $field?,)* at: table.at() })
            }
        }
    };
}
pub(crate) use section;

impl Table<'_> {
    /// Where it stands.
    pub(crate) fn at(&self) -> usize {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::similar;

    #[test]
    fn slips_are_recognised() {
        for (a, b) in [("hosts", "host"), ("group", "groups"), ("action", "acton"), ("reason", "raeson"), ("below", "Below")] {
            assert!(similar(a, b), "{a} {b}");
        }
        assert!(!similar("hosts", "people"));
    }
}
