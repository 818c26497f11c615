//! The file of a backup.
//!
//! ```text
//! GATEHOUSE BACKUP                      17 bytes: what it is
//! {"format":1,…}                        one line of JSON: who made it, when, from which migration, which key it needs
//! <zstd>                                the tables, one after the other, and the end
//! END <64 hexadecimal digits>           SHA-256 of everything before this line
//! ```
//!
//! So `head -2 FILE` tells what it is. Inside the compressed part: a letter, a length (four bytes, big-endian), and so many bytes:
//! `T` is the name of a table, `R` one of its records, `E` (JSON) the end: how many records each table has, and the SHA-256 of them.
//! A record is a `Value` as SurrealDB's own protocol sends it (FlatBuffers, version 1), which is exact: bytes, moments to the
//! nanosecond, identifiers that are lists, fields that are not there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom, Write as _},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use surrealdb::types::Value;

use super::BackupError;

const MAGIC: &[u8] = b"GATEHOUSE BACKUP\n";

/// Grows when an older program could no longer read what is written.
const FORMAT: u32 = 1;

/// What the last line begins with.
const END: &[u8] = b"\nEND ";

/// Length of the last line: its beginning, the digest, a line end.
const TRAILER: usize = END.len() + 64 + 1;

/// How long the header may be, in bytes.
const MAX_HEADER: u64 = 64 * 1024;

/// How long one record may be, in bytes: what the program itself writes is a tenth of it.
const MAX_RECORD: usize = 256 * 1024 * 1024;

const TABLE: u8 = b'T';
const RECORD: u8 = b'R';
const FINISH: u8 = b'E';

/// A migration that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) number: u32,
    pub(crate) checksum: String,
}

/// The second line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) format: u32,
    /// Version of the program that made it.
    pub(crate) program: String,
    pub(crate) made_at: DateTime<Utc>,
    /// What the database was at.
    pub(crate) migrations: Vec<Applied>,
    /// Identifier of the key that seals what is written; `None` where nothing ever was.
    pub(crate) key: Option<String>,
}

impl Header {
    pub(crate) fn new(migrations: Vec<Applied>, key: Option<String>) -> Self {
        Self { format: FORMAT, program: env!("CARGO_PKG_VERSION").into(), made_at: Utc::now(), migrations, key }
    }

    /// The last migration.
    pub(crate) fn migration(&self) -> u32 {
        self.migrations.iter().map(|applied| applied.number).max().unwrap_or(0)
    }
}

/// A table as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableSum {
    pub(crate) records: u64,
    /// Hexadecimal.
    pub(crate) sha256: String,
}

/// What comes last inside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) tables: BTreeMap<String, TableSum>,
    /// The keys that sealed something in it: more than one while a key is being changed.
    pub(crate) keys: BTreeSet<String>,
}

impl End {
    pub(crate) fn records(&self) -> u64 {
        self.tables.values().map(|table| table.records).sum()
    }
}

/// Adds up a table's records in their order.
#[derive(Default)]
pub(crate) struct Sum {
    records: u64,
    digest: Sha256,
}

impl Sum {
    pub(crate) fn add(&mut self, record: &[u8]) {
        self.records += 1;
        self.digest.update((record.len() as u64).to_be_bytes());
        self.digest.update(record);
    }

    pub(crate) fn finish(self) -> TableSum {
        TableSum { records: self.records, sha256: hex(&self.digest.finalize()) }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A record's bytes.
///
/// # Errors
/// What SurrealDB's protocol can't carry; nothing of what we store is like that.
pub(crate) fn encode(record: &Value) -> Result<Vec<u8>, BackupError> {
    surrealdb::types::encode(record)
        .map_err(|error| BackupError::Database(format!("a record can't be written to a backup: {error}")))
}

/// Makes a file, piece by piece.
pub(crate) struct Writer {
    /// What is compressed and not taken yet is its vector.
    body: zstd::Encoder<'static, Vec<u8>>,
    digest: Sha256,
    end: End,
    table: Option<(String, Sum)>,
}

impl Writer {
    pub(crate) fn new(header: &Header) -> io::Result<Self> {
        let mut begin = MAGIC.to_vec();
        serde_json::to_writer(&mut begin, header)?;
        begin.push(b'\n');
        let body = zstd::Encoder::new(begin, zstd::DEFAULT_COMPRESSION_LEVEL)?;
        Ok(Self { body, digest: Sha256::new(), end: End::default(), table: None })
    }

    fn frame(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        let length = u32::try_from(content.len()).ok().filter(|_| content.len() <= MAX_RECORD);
        let length = length.ok_or_else(|| io::Error::other(format!("a record of {} bytes", content.len())))?;
        self.body.write_all(&[kind])?;
        self.body.write_all(&length.to_be_bytes())?;
        self.body.write_all(content)
    }

    fn end_table(&mut self) {
        if let Some((name, sum)) = self.table.take() {
            self.end.tables.insert(name, sum.finish());
        }
    }

    /// Begins a table.
    pub(crate) fn table(&mut self, name: &str) -> io::Result<()> {
        self.end_table();
        self.table = Some((name.into(), Sum::default()));
        self.frame(TABLE, name.as_bytes())
    }

    /// Adds a record to the table that was begun.
    pub(crate) fn record(&mut self, record: &[u8]) -> io::Result<()> {
        if let Some((_, sum)) = &mut self.table {
            sum.add(record);
        }
        self.frame(RECORD, record)
    }

    /// Notes that this key sealed something.
    pub(crate) fn key(&mut self, id: &str) {
        if !self.end.keys.contains(id) {
            self.end.keys.insert(id.into());
        }
    }

    /// How many bytes can be taken.
    pub(crate) fn ready(&self) -> usize {
        self.body.get_ref().len()
    }

    /// Takes the bytes that are ready.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(self.body.get_mut());
        self.digest.update(&bytes);
        bytes
    }

    /// The last bytes, and what they say.
    pub(crate) fn finish(mut self) -> io::Result<(Vec<u8>, End)> {
        self.end_table();
        let end = serde_json::to_vec(&self.end)?;
        self.frame(FINISH, &end)?;
        let mut last = self.body.finish()?;
        self.digest.update(&last);
        last.extend(END);
        last.extend(hex(&self.digest.finalize()).as_bytes());
        last.push(b'\n');
        Ok((last, self.end))
    }
}

/// Something inside.
#[derive(Debug, PartialEq)]
pub(crate) enum Entry {
    /// The records that follow are of this table.
    Table(String),
    Record(Vec<u8>),
}

/// A backup that was looked through from beginning to end: it is whole, and it is what was written.
#[derive(Debug)]
pub struct BackupFile {
    file: File,
    header: Header,
    end: End,
    /// Where the compressed part begins and how long it is.
    body: (u64, u64),
    /// How long the records are together, in bytes.
    bytes: u64,
}

impl BackupFile {
    /// Looks through a file. Nothing is believed before all of it was seen.
    ///
    /// # Errors
    /// [`BackupError::Foreign`], [`BackupError::Cut`], [`BackupError::Changed`], [`BackupError::NewerFormat`], [`BackupError::Read`].
    pub fn open(mut file: File) -> Result<Self, BackupError> {
        let read = |error: io::Error| BackupError::Read(error.to_string());
        let length = file.seek(SeekFrom::End(0)).map_err(read)?;
        file.rewind().map_err(read)?;
        let mut reader = BufReader::new(&file);
        let mut magic = Vec::new();
        reader.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(read)?;
        if magic != MAGIC {
            // The beginning of one is one that was cut off early.
            return Err(if !magic.is_empty() && MAGIC.starts_with(&magic) { BackupError::Cut } else { BackupError::Foreign });
        }
        let mut line = Vec::new();
        reader.by_ref().take(MAX_HEADER).read_until(b'\n', &mut line).map_err(read)?;
        if !line.ends_with(b"\n") {
            return Err(if (line.len() as u64) < MAX_HEADER { BackupError::Cut } else { BackupError::Changed });
        }
        // Of another format, no more than this can be known.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        if let Ok(Format { format }) = serde_json::from_slice(&line)
            && format > FORMAT
        {
            return Err(BackupError::NewerFormat { found: format, known: FORMAT });
        }
        drop(reader);
        let begin = (MAGIC.len() + line.len()) as u64;
        let Some(last) = length.checked_sub(TRAILER as u64).filter(|last| *last >= begin) else {
            return Err(BackupError::Cut);
        };
        file.seek(SeekFrom::Start(last)).map_err(read)?;
        let mut trailer = Vec::new();
        (&file).take(TRAILER as u64).read_to_end(&mut trailer).map_err(read)?;
        let Some(expected) = trailer.strip_prefix(END).and_then(|rest| rest.strip_suffix(b"\n")) else {
            return Err(BackupError::Cut);
        };
        file.rewind().map_err(read)?;
        let mut digest = Sha256::new();
        io::copy(&mut (&file).take(last), &mut digest).map_err(read)?;
        if hex(&digest.finalize()).as_bytes() != expected {
            return Err(BackupError::Changed);
        }
        // From here on it is what a program of ours wrote.
        let header = serde_json::from_slice(&line).map_err(|_| BackupError::Changed)?;
        let mut backup = Self { file, header, end: End::default(), body: (begin, last - begin), bytes: 0 };
        let mut bytes = 0;
        backup.end = backup.walk(|entry| {
            if let Entry::Record(record) = entry {
                bytes += record.len() as u64;
            }
            Ok(())
        })?;
        backup.bytes = bytes;
        Ok(backup)
    }

    /// How long the records are together, in bytes: a database of them is not smaller.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn end(&self) -> &End {
        &self.end
    }

    /// Version of the program that made it.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.header.program
    }

    /// When it was begun.
    #[must_use]
    pub fn made_at(&self) -> DateTime<Utc> {
        self.header.made_at
    }

    /// The last migration of the database.
    #[must_use]
    pub fn migration(&self) -> u32 {
        self.header.migration()
    }

    /// How many records are in it.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.end.records()
    }

    /// Identifier of the database's key; `None` where nothing was ever sealed.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.header.key.as_deref()
    }

    /// The keys that sealed something and are not [`BackupFile::key`]: there are some when the key was just being changed.
    pub fn other_keys(&self) -> impl Iterator<Item = &str> {
        self.end.keys.iter().map(String::as_str).filter(|id| Some(*id) != self.key())
    }

    /// Goes through the tables and gives what the end says, when what was found is what it says.
    pub(crate) fn walk(&mut self, mut each: impl FnMut(Entry) -> Result<(), BackupError>) -> Result<End, BackupError> {
        let read = |error: io::Error| BackupError::Read(error.to_string());
        self.file.seek(SeekFrom::Start(self.body.0)).map_err(read)?;
        let mut body = zstd::Decoder::new((&self.file).take(self.body.1)).map_err(read)?.single_frame();
        let mut found = End::default();
        let mut table: Option<(String, Sum)> = None;
        loop {
            let mut head = [0; 5];
            body.read_exact(&mut head).map_err(|_| BackupError::Changed)?;
            let [kind, length @ ..] = head;
            let length = u32::from_be_bytes(length) as usize;
            if length > MAX_RECORD {
                return Err(BackupError::Changed);
            }
            let mut content = Vec::with_capacity(length.min(1024 * 1024));
            body.by_ref().take(length as u64).read_to_end(&mut content).map_err(|_| BackupError::Changed)?;
            if content.len() < length {
                return Err(BackupError::Changed);
            }
            if kind != RECORD
                && let Some((name, sum)) = table.take()
            {
                found.tables.insert(name, sum.finish());
            }
            match (kind, &mut table) {
                (TABLE, _) => {
                    let name = String::from_utf8(content).map_err(|_| BackupError::Changed)?;
                    table = Some((name.clone(), Sum::default()));
                    each(Entry::Table(name))?;
                }
                (RECORD, Some((_, sum))) => {
                    sum.add(&content);
                    each(Entry::Record(content))?;
                }
                (FINISH, _) => {
                    let end: End = serde_json::from_slice(&content).map_err(|_| BackupError::Changed)?;
                    return if end.tables == found.tables { Ok(end) } else { Err(BackupError::Changed) };
                }
                _ => return Err(BackupError::Changed),
            }
        }
    }
}

/// Reads a record.
pub(crate) fn decode(record: &[u8]) -> Result<Value, BackupError> {
    surrealdb::types::decode(record).map_err(|_| BackupError::Changed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header::new(vec![Applied { number: 1, checksum: "a".into() }, Applied { number: 2, checksum: "b".into() }], None)
    }

    fn file(tables: &[(String, Vec<Vec<u8>>)]) -> Vec<u8> {
        let mut writer = Writer::new(&header()).unwrap();
        let mut out = Vec::new();
        for (name, records) in tables {
            writer.table(name).unwrap();
            for record in records {
                writer.record(record).unwrap();
                out.extend(writer.take());
            }
        }
        writer.key("0011");
        let (last, _) = writer.finish().unwrap();
        out.extend(last);
        out
    }

    fn open(bytes: &[u8]) -> Result<BackupFile, BackupError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        BackupFile::open(file)
    }

    fn tables() -> impl Strategy<Value = Vec<(String, Vec<Vec<u8>>)>> {
        let records = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..20);
        prop::collection::btree_map("[a-z_]{1,12}", records, 0..5).prop_map(|tables| tables.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_was_written_is_read(tables in tables()) {
            let mut backup = open(&file(&tables)).unwrap();
            let mut found: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
            backup.walk(|entry| {
                match entry {
                    Entry::Table(name) => found.push((name, Vec::new())),
                    Entry::Record(record) => found.last_mut().unwrap().1.push(record),
                }
                Ok(())
            }).unwrap();
            prop_assert_eq!(&found, &tables);
            prop_assert_eq!(backup.records(), tables.iter().map(|(_, records)| records.len() as u64).sum::<u64>());
            prop_assert_eq!((backup.migration(), backup.other_keys().collect::<Vec<_>>()), (2, vec!["0011"]));
        }

        #[test]
        fn one_that_is_cut_anywhere_is_refused(tables in tables(), cut in any::<prop::sample::Index>()) {
            let whole = file(&tables);
            let cut = cut.index(whole.len());
            let error = open(&whole[..cut]).unwrap_err();
            prop_assert!(matches!(error, BackupError::Cut) || cut == 0 && matches!(error, BackupError::Foreign), "{:?}", error);
        }

        #[test]
        fn a_flipped_bit_is_found_wherever_it_is(tables in tables(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = file(&tables);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(open(&bytes).is_err());
        }

        #[test]
        fn more_behind_it_is_found(extra in prop::collection::vec(any::<u8>(), 1..200)) {
            let mut bytes = file(&[]);
            bytes.extend(extra);
            prop_assert!(open(&bytes).is_err());
        }
    }

    #[test]
    fn what_is_none_is_told_apart_from_what_is_newer() {
        assert!(matches!(open(b"PK\x03\x04 and so on"), Err(BackupError::Foreign)));
        assert!(matches!(open(b""), Err(BackupError::Foreign)));
        let newer = b"GATEHOUSE BACKUP\n{\"format\":7,\"anything\":true}\nwhatever";
        assert!(matches!(open(newer), Err(BackupError::NewerFormat { found: 7, known: 1 })));
    }
}
