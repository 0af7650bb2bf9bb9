"""Federated training: sites that cannot share recordings share the back of a decoder, by Flower."""
