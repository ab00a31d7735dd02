"""What can become of an outbound request. No message holds a resolved address: it would map the inner network."""

from ali.kernel.errors import AliError, InvalidRequest


class OutboundRefused(InvalidRequest):
    """400: the address may not be called from here; it is not public, or not written plainly."""

    code = "address_refused"


class OutboundFailed(AliError):
    """502: an address that may be called gave no usable answer."""

    status = 502
    code = "address_failed"


class OutboundTimedOut(OutboundFailed):
    """504: an address that may be called did not answer in time."""

    status = 504
    code = "address_timed_out"
