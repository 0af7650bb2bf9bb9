"""From sensors to parcels of the brain: where parcels are, the head between, the inverse, signs.

parcellation.filled → head_model.head_of → inverse.weights → parcel_signals.operator: all linear, so
a recording is multiplied by one matrix [parcel, channel]. `steps.parcels` puts it together.
"""
