"""What a model is fed with; needs no engine."""
import json
import numpy as np


class Shell:
    def __init__(self, directory):
        self.config = json.load(open(f"{directory}/config.json"))
        self.types = self.config["type_vocab_size"] > 0
        self.lexicon = len(self.config.get("lexicon_types", []))

    def inputs(self, sentences):
        """Sentences padded to the longest, as what the network is fed with."""
        n = max(len(s["ids"]) for s in sentences)
        b = len(sentences)
        fed = {"ids": np.zeros((b, n), np.int64), "mask": np.full((b, 1, 1, n), -1e9, np.float32),
               "pool": np.zeros((b, 1, n), np.float32)}
        if self.types:
            fed["types"] = np.zeros((b, n), np.int64)
        if self.lexicon:
            fed["lexicon"] = np.zeros((b, n, self.lexicon), np.float32)
        for i, s in enumerate(sentences):
            length = len(s["ids"])
            fed["ids"][i, :length] = s["ids"]
            fed["mask"][i, 0, 0, :length] = 0
            fed["pool"][i, 0, : s["own"]] = 1 / s["own"]
            if self.types:
                fed["types"][i, :length] = s["types"]
            if self.lexicon and s["lexicon"]:
                bits = np.array(s["lexicon"], np.uint64)[:, None] >> np.arange(self.lexicon, dtype=np.uint64)
                fed["lexicon"][i, :length] = bits & np.uint64(1)
        return fed
