//! What arrives, read by the decoders of the field: prost, the generated messages of OTLP, rmp, `serde_json`.

use prost::Message;

/// Remote write as its specifications have it; written again here, so that no mistake of ours is made twice.
pub(crate) mod remote_write {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct First {
        #[prost(message, repeated, tag = "1")]
        pub series: Vec<FirstSeries>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct FirstSeries {
        #[prost(message, repeated, tag = "1")]
        pub labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<Sample>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Label {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub value: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Second {
        #[prost(string, repeated, tag = "4")]
        pub symbols: Vec<String>,
        #[prost(message, repeated, tag = "5")]
        pub series: Vec<SecondSeries>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct SecondSeries {
        #[prost(uint32, repeated, tag = "1")]
        pub labels: Vec<u32>,
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<Sample>,
    }

    #[derive(Clone, Copy, PartialEq, Message)]
    pub(crate) struct Sample {
        #[prost(double, tag = "1")]
        pub value: f64,
        /// Milliseconds since 1970.
        #[prost(int64, tag = "2")]
        pub timestamp: i64,
    }
}

/// How many samples a request of remote write 2.0 has.
pub(crate) fn samples_of_second_version(body: &[u8]) -> usize {
    let request = remote_write::Second::decode(body).unwrap();
    request.series.iter().map(|series| series.samples.len()).sum()
}
