//! A server that speaks Redis' protocol, for tests: it answers from a table by the command's name, and says OK to all else.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Begins to answer with these replies, as they go over the line. Its host and port.
pub(crate) async fn serve(replies: Vec<(&'static str, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let replies = replies.clone();
            // Until the client goes.
            tokio::spawn(async move { answer(BufReader::new(stream), &replies).await });
        }
    });
    address
}

async fn answer(mut stream: BufReader<TcpStream>, replies: &[(&'static str, String)]) -> Option<()> {
    loop {
        let count = header(&mut stream, '*').await?;
        let mut words = Vec::new();
        for _ in 0..count {
            let mut word = vec![0; header(&mut stream, '$').await? + 2];
            stream.read_exact(&mut word).await.ok()?;
            words.push(String::from_utf8_lossy(&word).trim().to_owned());
        }
        let reply = replies.iter().find(|(name, _)| words.first().is_some_and(|word| word == name));
        stream.write_all(reply.map_or("+OK\r\n", |(_, reply)| reply).as_bytes()).await.ok()?;
    }
}

/// The number in a line that begins so.
async fn header(stream: &mut BufReader<TcpStream>, mark: char) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.trim().strip_prefix(mark)?.parse().ok()
}
