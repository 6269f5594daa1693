//! One line of comma-separated fields with double quotes, as `--mount`, `--network` and `--gpus` are written.
//! Source: RFC 4180, Go `encoding/csv`.

/// Splits `a=b,"c=d,e"` into `a=b` and `c=d,e`; a doubled quote inside quotes is one quote.
pub fn fields(line: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, tail) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        if !field.is_empty() {
            fields.push(field);
        }
        match tail.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

fn quoted_field(text: &str) -> Result<(String, &str), &'static str> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"').ok_or("a double quote is never closed")?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.bytes().next() {
            Some(b'"') => {
                field.push('"');
                rest = &rest[1..];
            }
            None | Some(b',') => return Ok((field, rest)),
            Some(_) => return Err("text follows a closing double quote"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn splits_and_unquotes() {
        assert_eq!(fields("a=b,c").unwrap(), ["a=b", "c"]);
        assert_eq!(
            fields("a,\"o=addr=1,rw\",c").unwrap(),
            ["a", "o=addr=1,rw", "c"]
        );
        assert_eq!(fields("\"say \"\"hi\"\"\"").unwrap(), ["say \"hi\""]);
        assert_eq!(fields("").unwrap(), Vec::<String>::new());
        assert!(fields("\"open").is_err());
        assert!(fields("\"a\"b").is_err());
    }
}
