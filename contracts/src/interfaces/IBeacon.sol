// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title A source of seeds for the draws, instead of the chain's own block hash (P5.3)
/// @dev Warning: whoever controls it chooses committees.
interface IBeacon {
    /// @notice The seed that belongs to a block in the past; zero if it is gone for ever, and a revert reads as
    /// zero. Must never change once given.
    function seed(uint256 blockNumber) external view returns (bytes32);
}
