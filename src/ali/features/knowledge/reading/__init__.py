"""Reading documents: from a file of any kind to chunks that know where they stand, in processes that may be killed."""

from ali.features.knowledge.reading.failures import FailureCode, ReadingFailed
from ali.features.knowledge.reading.places import Place, merged_text, place_of
from ali.features.knowledge.reading.reader import Reader, Reading

__all__ = ["FailureCode", "Place", "Reader", "Reading", "ReadingFailed", "merged_text", "place_of"]
