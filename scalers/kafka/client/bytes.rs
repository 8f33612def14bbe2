//! Kafka's way of writing numbers, texts and lists (its protocol guide, "Protocol Primitive Types"). Nothing that is read makes us hold more than was sent.

/// An answer that does not hold what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer ends too early or holds what it cannot")]
pub(super) struct Malformed;

/// How texts and lists begin: older messages with a number of fixed width, newer ones with one of variable width, and with room for fields of later days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Classic,
    Compact,
}

/// A message that is being written.
#[derive(Debug, Default)]
pub(super) struct Writer(pub Vec<u8>);

impl Writer {
    pub(super) fn i8(&mut self, number: i8) {
        self.0.extend(number.to_be_bytes());
    }

    pub(super) fn i16(&mut self, number: i16) {
        self.0.extend(number.to_be_bytes());
    }

    pub(super) fn i32(&mut self, number: i32) {
        self.0.extend(number.to_be_bytes());
    }

    pub(super) fn i64(&mut self, number: i64) {
        self.0.extend(number.to_be_bytes());
    }

    fn varint(&mut self, mut number: u32) {
        while number >= 0x80 {
            let [.., low] = number.to_be_bytes();
            self.0.push(low | 0x80);
            number >>= 7;
        }
        let [.., low] = number.to_be_bytes();
        self.0.push(low);
    }

    /// Names are far shorter than the longest that can be written; what is longer is cut, and then refused by the broker as unknown.
    pub(super) fn text(&mut self, form: Form, text: &str) {
        let bytes = text.as_bytes();
        let bytes = bytes.get(..usize::from(i16::MAX.unsigned_abs())).unwrap_or(bytes);
        match form {
            Form::Classic => self.i16(i16::try_from(bytes.len()).unwrap_or(i16::MAX)),
            Form::Compact => self.varint(u32::try_from(bytes.len()).unwrap_or(0) + 1),
        }
        self.0.extend(bytes);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        self.0.extend(bytes);
    }

    /// A list, of which each element is written by a function.
    pub(super) fn list<T>(&mut self, form: Form, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        match form {
            Form::Classic => self.i32(i32::try_from(items.len()).unwrap_or(i32::MAX)),
            Form::Compact => self.varint(u32::try_from(items.len()).unwrap_or(u32::MAX - 1) + 1),
        }
        for item in items {
            write(self, item);
        }
    }

    /// No list, which is something else than an empty one.
    pub(super) fn no_list(&mut self, form: Form) {
        match form {
            Form::Classic => self.i32(-1),
            Form::Compact => self.varint(0),
        }
    }

    /// The fields of later days: none.
    pub(super) fn end(&mut self, form: Form) {
        if form == Form::Compact {
            self.varint(0);
        }
    }
}

/// A message that is being read.
#[derive(Debug)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    pub(super) fn i8(&mut self) -> Result<i8, Malformed> {
        self.array().map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    fn varint(&mut self) -> Result<u32, Malformed> {
        let mut number = 0_u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            number |= u32::from(byte & 0x7f).checked_shl(shift).ok_or(Malformed)?;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    /// The length that something begins with; `None` where there is nothing.
    fn length(&mut self, form: Form, classic: fn(&mut Self) -> Result<i32, Malformed>) -> Result<Option<usize>, Malformed> {
        let length = match form {
            Form::Classic => i64::from(classic(self)?),
            Form::Compact => i64::from(self.varint()?) - 1,
        };
        if length == -1 {
            return Ok(None);
        }
        // Each element has a byte at the least, so no honest length is greater than what is left.
        usize::try_from(length).ok().filter(|length| *length <= self.0.len()).map(Some).ok_or(Malformed)
    }

    /// A text; one that is missing is empty.
    pub(super) fn text(&mut self, form: Form) -> Result<String, Malformed> {
        let length = self.length(form, |reader| reader.i16().map(i32::from))?.unwrap_or(0);
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, Malformed> {
        let length = self.length(Form::Classic, Self::i32)?.unwrap_or(0);
        self.take(length).map(<[u8]>::to_vec)
    }

    /// A list, of which each element is read by a function; one that is missing is empty.
    pub(super) fn list<T>(&mut self, form: Form, mut read: impl FnMut(&mut Self) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        let length = self.length(form, Self::i32)?.unwrap_or(0);
        // Grown as it is read: a claim is not yet an element.
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// Passes over the fields of later days.
    pub(super) fn end(&mut self, form: Form) -> Result<(), Malformed> {
        if form == Form::Classic {
            return Ok(());
        }
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.take(usize::try_from(length).map_err(|_| Malformed)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for form in [Form::Classic, Form::Compact] {
            let mut writer = Writer::default();
            writer.i8(-2);
            writer.i16(-300);
            writer.i64(i64::MIN);
            writer.text(form, "änderung");
            let long: Vec<i32> = (0..300).collect();
            writer.list(form, &long, |writer, number| writer.i32(*number));
            writer.no_list(form);
            writer.bytes(b"abc");
            writer.end(form);
            let mut reader = Reader(&writer.0);
            assert_eq!((reader.i8(), reader.i16(), reader.i64()), (Ok(-2), Ok(-300), Ok(i64::MIN)));
            assert_eq!(reader.text(form).as_deref(), Ok("änderung"));
            assert_eq!(reader.list(form, Reader::i32), Ok(long));
            assert_eq!(reader.list(form, Reader::i32), Ok(Vec::new()));
            assert_eq!(reader.bytes().as_deref(), Ok(&b"abc"[..]));
            assert_eq!((reader.end(form), reader.0.len()), (Ok(()), 0));
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let huge = [0x7f, 0xff, 0xff, 0xff, 1, 2, 3];
        assert_eq!(Reader(&huge).list(Form::Classic, Reader::i8), Err(Malformed));
        assert_eq!(Reader(&huge).bytes(), Err(Malformed));
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]).list(Form::Compact, Reader::i8), Err(Malformed));
        assert_eq!(Reader(&[0xff; 9]).list(Form::Compact, Reader::i8), Err(Malformed));
        assert_eq!(Reader(&[0x80, 0]).text(Form::Classic), Err(Malformed));
        assert_eq!(Reader(&[5, b'a']).text(Form::Compact), Err(Malformed));
        assert_eq!(Reader(&[1, 0, 9, b'a']).end(Form::Compact), Err(Malformed));
        assert_eq!(Reader(&[]).i32(), Err(Malformed));
    }
}
