//! Lines out of a stream of bytes whose pieces end anywhere, also in the middle of a character.

/// What has arrived of a line that has not ended yet.
#[derive(Debug, Default)]
pub struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Takes the next piece and gives the lines that it completes; empty ones are passed over.
    pub fn push(&mut self, piece: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(piece);
        let Some(last) = self.rest.iter().rposition(|b| *b == b'\n') else { return Vec::new() };
        let open = self.rest.split_off(last + 1);
        let complete = std::mem::replace(&mut self.rest, open);
        complete.split(|b| *b == b'\n').map(text).filter(|line| !line.is_empty()).collect()
    }

    /// What stands after the last line end, when the stream is over.
    #[must_use]
    pub fn end(self) -> Option<String> {
        Some(text(&self.rest)).filter(|line| !line.is_empty())
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_wherever_the_pieces_end() {
        let all = "{\"a\":\"ü\"}\n\n{\"b\":2}\r\nrest €".as_bytes();
        for size in 1..=all.len() {
            let mut lines = Lines::default();
            let mut seen: Vec<String> = all.chunks(size).flat_map(|piece| lines.push(piece)).collect();
            seen.extend(lines.end());
            assert_eq!(seen, ["{\"a\":\"ü\"}", "{\"b\":2}", "rest €"], "pieces of {size}");
        }
    }

    #[test]
    fn nothing_is_left_after_a_line_end() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"a\n"), ["a"]);
        assert_eq!(lines.end(), None);
    }
}
