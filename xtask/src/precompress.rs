//! Compresses a file once, when the site is built, as hard as the format allows: the server then never compresses these.

use anyhow::{Context, Result};

/// A file with its compressed forms. `None` where compressing does not pay (pictures, fonts).
pub struct Forms {
    /// As it is.
    pub raw: Vec<u8>,
    /// Brotli, quality 11.
    pub brotli: Option<Vec<u8>>,
    /// Gzip, by Zopfli: a twentieth smaller than level 9.
    pub gzip: Option<Vec<u8>>,
}

impl Forms {
    /// Compresses `raw` both ways.
    pub fn of(raw: Vec<u8>) -> Result<Self> {
        let brotli = smaller(brotli(&raw)?, &raw);
        let gzip = smaller(gzip(&raw)?, &raw);
        Ok(Self { raw, brotli, gzip })
    }
}

fn smaller(compressed: Vec<u8>, raw: &[u8]) -> Option<Vec<u8>> {
    (compressed.len() < raw.len()).then_some(compressed)
}

fn brotli(raw: &[u8]) -> Result<Vec<u8>> {
    let parameters = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 24, size_hint: raw.len(), ..Default::default() };
    let mut compressed = Vec::new();
    brotli::BrotliCompress(&mut &raw[..], &mut compressed, &parameters).context("brotli failed")?;
    Ok(compressed)
}

fn gzip(raw: &[u8]) -> Result<Vec<u8>> {
    let mut compressed = Vec::new();
    zopfli::compress(zopfli::Options::default(), zopfli::Format::Gzip, raw, &mut compressed).context("gzip failed")?;
    Ok(compressed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn both_forms_give_back_what_went_in() {
        let raw = b"Gatehouse ".repeat(500);
        let forms = Forms::of(raw.clone()).unwrap();
        let mut back = Vec::new();
        brotli::BrotliDecompress(&mut forms.brotli.unwrap().as_slice(), &mut back).unwrap();
        assert_eq!(back, raw);
        back.clear();
        flate2::read::GzDecoder::new(forms.gzip.unwrap().as_slice()).read_to_end(&mut back).unwrap();
        assert_eq!(back, raw);
    }

    #[test]
    fn what_does_not_shrink_is_left_alone() {
        let forms = Forms::of(b"x".to_vec()).unwrap();
        assert!(forms.brotli.is_none() && forms.gzip.is_none());
    }
}
