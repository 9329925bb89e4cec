//! Under which names each family stores its weights. Data: a new family is a new table.

/// Our name of a weight (without `.weight` or `.bias`, `{}` for the layer) and the names under which its rows are stored, one
/// after the other.
pub type Names = &'static [(&'static str, &'static [&'static str])];

/// `BertModel`, and those that are built like it.
pub const BERT: Names = &[
    ("embeddings.tok_embeddings", &["embeddings.word_embeddings"]),
    ("embeddings.position_embeddings", &["embeddings.position_embeddings"]),
    ("embeddings.token_type_embeddings", &["embeddings.token_type_embeddings"]),
    ("embeddings.norm", &["embeddings.LayerNorm"]),
    (
        "layers.{}.attn.Wqkv",
        &[
            "encoder.layer.{}.attention.self.query",
            "encoder.layer.{}.attention.self.key",
            "encoder.layer.{}.attention.self.value",
        ],
    ),
    ("layers.{}.attn.Wo", &["encoder.layer.{}.attention.output.dense"]),
    ("layers.{}.attn_norm", &["encoder.layer.{}.attention.output.LayerNorm"]),
    ("layers.{}.mlp.Wi", &["encoder.layer.{}.intermediate.dense"]),
    ("layers.{}.mlp.Wo", &["encoder.layer.{}.output.dense"]),
    ("layers.{}.mlp_norm", &["encoder.layer.{}.output.LayerNorm"]),
];

/// `DistilBertModel`.
pub const DISTILBERT: Names = &[
    ("embeddings.tok_embeddings", &["embeddings.word_embeddings"]),
    ("embeddings.position_embeddings", &["embeddings.position_embeddings"]),
    ("embeddings.norm", &["embeddings.LayerNorm"]),
    (
        "layers.{}.attn.Wqkv",
        &[
            "transformer.layer.{}.attention.q_lin",
            "transformer.layer.{}.attention.k_lin",
            "transformer.layer.{}.attention.v_lin",
        ],
    ),
    ("layers.{}.attn.Wo", &["transformer.layer.{}.attention.out_lin"]),
    ("layers.{}.attn_norm", &["transformer.layer.{}.sa_layer_norm"]),
    ("layers.{}.mlp.Wi", &["transformer.layer.{}.ffn.lin1"]),
    ("layers.{}.mlp.Wo", &["transformer.layer.{}.ffn.lin2"]),
    ("layers.{}.mlp_norm", &["transformer.layer.{}.output_layer_norm"]),
];

/// `DebertaV2Model`.
pub const DEBERTA_V2: Names = &[
    ("embeddings.tok_embeddings", &["embeddings.word_embeddings"]),
    ("embeddings.token_type_embeddings", &["embeddings.token_type_embeddings"]),
    ("embeddings.distance_embeddings", &["encoder.rel_embeddings"]),
    ("embeddings.distance_norm", &["encoder.LayerNorm"]),
    ("embeddings.norm", &["embeddings.LayerNorm"]),
    (
        "layers.{}.attn.Wqkv",
        &[
            "encoder.layer.{}.attention.self.query_proj",
            "encoder.layer.{}.attention.self.key_proj",
            "encoder.layer.{}.attention.self.value_proj",
        ],
    ),
    ("layers.{}.attn.Wo", &["encoder.layer.{}.attention.output.dense"]),
    ("layers.{}.attn_norm", &["encoder.layer.{}.attention.output.LayerNorm"]),
    ("layers.{}.mlp.Wi", &["encoder.layer.{}.intermediate.dense"]),
    ("layers.{}.mlp.Wo", &["encoder.layer.{}.output.dense"]),
    ("layers.{}.mlp_norm", &["encoder.layer.{}.output.LayerNorm"]),
];

/// `ModernBertModel`, whose names are ours.
pub const MODERNBERT: Names = &[];
