// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBack} from "./interfaces/IMarketBack.sol";
import {Ballots} from "./Ballots.sol";
import {Signatures} from "./Signatures.sol";

/// @title Withdrawals: what is called off before anybody was bound (P3)
abstract contract Withdrawals is IMarketBack, Signatures, Ballots {
    /// @inheritdoc IMarketBack
    function cancel(JobTerms calldata terms) external {
        (bytes32 id, Job storage job) = _toTakeBack(terms);
        if (msg.sender != terms.requester) revert NotRequester(msg.sender, terms.requester);
        _takeBack(id, job, terms, Outcome.Cancelled);
    }

    /// @inheritdoc IMarketBack
    function expire(JobTerms calldata terms) external {
        (bytes32 id, Job storage job) = _toTakeBack(terms);
        _requireAfter(job.deadline);
        _takeBack(id, job, terms, Outcome.Expired);
    }

    /// @inheritdoc IMarketBack
    function announce(bytes calldata message) external {
        emit Announced(msg.sender, message);
    }

    function _toTakeBack(JobTerms calldata terms) private view returns (bytes32 id, Job storage job) {
        id = _idOf(terms);
        job = _jobs[id];
        _requireState(id, job, State.Open);
    }

    /// @dev Nobody was bound: the whole escrow goes back.
    function _takeBack(bytes32 id, Job storage job, JobTerms calldata terms, Outcome outcome) private {
        uint256 escrow = _heldFor(job, terms);
        (job.state, job.outcome) = (State.Settled, outcome);
        _credit(terms.requester, escrow);
        emit Paid(id, terms.requester, Purpose.Refund, escrow);
        emit Settled(id, outcome, 0);
    }
}
