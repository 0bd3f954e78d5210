//! Agents that ask each other over real connections: who finds whom, who is believed, and what it
//! costs when somebody is not who it should be, or is gone. No kernel side and no records.

#[path = "asking/agents.rs"]
mod agents;
#[path = "asking/certificates.rs"]
mod certificates;
#[path = "asking/hostile.rs"]
mod hostile;
#[path = "asking/streams.rs"]
mod streams;
